# SPDX-License-Identifier: Apache-2.0
# BPF code run as functions (bpf_prog_test_run): NAME.bpf.c and the program NAME.c that feeds it.

$(B)/tests/bpf/%.bpf.o: tests/bpf/%.bpf.c $(BPF_HDRS) Makefile
	@mkdir -p $(@D)
	$(call msg,BPF,$<)
	$(Q)ulimit -v 8000000; $(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(B)/tests/bpf/%.o: $(B)/tests/bpf/%.bpf.o
	$(Q)$(BPFTOOL) gen object $@ $<

$(B)/gen/scan_test.skel.h: $(B)/tests/bpf/scan_test.o
	@mkdir -p $(@D)
	$(call msg,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name scan_test_bpf > $@

$(B)/tests/bpf/scan_test: tests/bpf/scan_test.c $(B)/gen/scan_test.skel.h $(BPF_HDRS) Makefile
	$(call msg,TEST,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $< $(LDFLAGS) $(LDLIBS) -o $@

bpf-test: $(B)/tests/bpf/scan_test ## BPF code run as functions, against its user-space build (root)
	@$(B)/tests/bpf/scan_test tests/fuzz/corpus/scan

.PHONY: bpf-test

# The data path on real sockets, without the agent.
PATH_OBJS := $(patsubst %,$(B)/tests/bpf/%.o,path path_requests path_conns path_memo path_watch path_near client rig \
	rig_servers rig_agent)
$(PATH_OBJS): $(B)/tests/bpf/%.o: tests/bpf/%.c $(wildcard tests/bpf/*.h) \
		$(B)/gen/headrace.skel.h Makefile
	@mkdir -p $(@D)
	$(call msg,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) -I$(B) $(CFLAGS) -c $< -o $@

$(B)/tests/bpf/path: $(PATH_OBJS)
	$(call msg,TEST,$@)
	$(Q)$(CC) $(CFLAGS) $^ $(LDFLAGS) $(LDLIBS) -o $@

path-test: $(B)/tests/bpf/path ## the kernel path with hand-written tables (root)
	@$<
	@$< --near

.PHONY: path-test
