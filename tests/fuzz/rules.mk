# SPDX-License-Identifier: Apache-2.0
# Every tests/fuzz/NAME.c is a libFuzzer target (LLVMFuzzerTestOneInput) with a corpus in corpus/NAME/.
#   fuzz-replay   gcc, ASan/UBSan, each corpus once (part of `make test`; run it with SAN=1)
#   fuzz          clang's libFuzzer, FUZZ_SECONDS each; what it finds is kept in the build directory

FUZZERS := $(patsubst tests/fuzz/%.c,%,$(filter-out tests/fuzz/replay.c,$(wildcard tests/fuzz/*.c)))
FUZZ_SECONDS ?= 60
FUZZ_FLAGS := -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined

$(B)/tests/fuzz/replay-%: tests/fuzz/%.c tests/fuzz/replay.c $(LIBS_plan) Makefile
	@mkdir -p $(@D)
	$(call msg,REPLAY,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $< tests/fuzz/replay.c $(LDFLAGS) -Wl,--start-group \
		$(LIBS_plan) -Wl,--end-group $(LDLIBS) -o $@

fuzz-replay: $(FUZZERS:%=$(B)/tests/fuzz/replay-%) ## every fuzz corpus once
	@for f in $(FUZZERS); do $(B)/tests/fuzz/replay-$$f tests/fuzz/corpus/$$f || exit 1; done

# The rooms are compiled again: libFuzzer needs its coverage in all that it explores.
FUZZ_ROOMS := $(wildcard user/core/*.c user/http/*.c user/model/*.c user/plan/*.c)
$(B)/tests/fuzz/fuzz-%: tests/fuzz/%.c $(FUZZ_ROOMS) $(HDRS) Makefile
	@mkdir -p $(@D)
	$(call msg,FUZZ,$@)
	$(Q)$(CLANG) $(CPPFLAGS) -std=gnu17 -O1 -g -fno-strict-aliasing $(FUZZ_FLAGS) $< $(FUZZ_ROOMS) \
		$(LDLIBS) -o $@

fuzz: $(FUZZERS:%=$(B)/tests/fuzz/fuzz-%) ## explore, FUZZ_SECONDS (60) each target
	@for f in $(FUZZERS); do mkdir -p $(B)/fuzz/$$f; \
		$(B)/tests/fuzz/fuzz-$$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 \
		-artifact_prefix=$(B)/fuzz/$$f- $(B)/fuzz/$$f tests/fuzz/corpus/$$f || exit 1; done

.PHONY: fuzz-replay
