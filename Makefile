# headrace: one Makefile, no configure step. `make help` lists the verbs, V=1 shows the commands.
# Each room of user/ becomes one static library; a room links only with the rooms below it.

B      ?= build
CC     ?= gcc
CLANG  ?= $(firstword $(foreach v,19 20 21 18 16,$(shell command -v clang-$(v))) clang)
FORMAT ?= $(firstword $(foreach v,19 20 21 18 16,$(shell command -v clang-format-$(v))) clang-format)
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /sbin/bpftool) bpftool)
PKG    ?= pkg-config
ARCH   := $(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/')
VERSION := $(shell cat VERSION 2>/dev/null || echo 0)

# Order of the rooms: an include, and a link, points to the left only.
ROOMS := core http model splitter plan kern health dns tls proxy observe source control agent cli
HAVE  := $(foreach r,$(ROOMS),$(if $(wildcard user/$(r)/*.c),$(r)))

V ?= 0
ifeq ($(V),0)
Q := @
msg = @printf '  %-8s %s\n' "$(1)" "$(2)";
else
msg =
endif

CPPFLAGS += -Iinclude -Iuser -Ibpf -I$(B)/gen -D_GNU_SOURCE -DHR_VERSION='"$(VERSION)"'
CFLAGS   += -std=gnu17 -O2 -g -Wall -Wextra -Werror -fno-strict-aliasing -fstack-protector-strong \
	    -fno-omit-frame-pointer -pthread
LDFLAGS  += -pthread
LDLIBS   += -lbpf -lelf -lz -lyaml -ljansson -lnghttp2 -lm
ifneq ($(SAN),)
CFLAGS  := $(filter-out -O2,$(CFLAGS)) -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
LDFLAGS += -fsanitize=address,undefined
endif
# verifier-friendly: v3 ISA (jmp32, alu32), as Debian 12's 6.1 has it
BPF_CFLAGS := -std=gnu17 -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -Iinclude -Ibpf \
	      -I/usr/include/$(shell uname -m)-linux-gnu -Wall -Wextra -Werror
ifneq ($(CHAOS),)
BPF_CFLAGS += -DHR_CHAOS # see bpf/lib/kernel.h
endif

.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
.DEFAULT_GOAL := all

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

all: $(B)/headrace ## build/headrace, with the BPF objects inside

# ---- BPF ----------------------------------------------------------------------------------
BPF_HDRS := $(wildcard bpf/*.h bpf/lib/*.h include/headrace/*.h)
BPF_SRCS := $(wildcard bpf/*.bpf.c)
# the data path is one object linked from one file a hook; others (self-test) stand alone
BPF_ALONE := $(wildcard bpf/selftest.bpf.c)
BPF_PATH  := $(filter-out $(BPF_ALONE),$(BPF_SRCS))

$(B)/bpf/%.bpf.o: bpf/%.bpf.c $(BPF_HDRS) Makefile
	@mkdir -p $(@D)
	$(call msg,BPF,$<)
	$(Q)ulimit -v 8000000; $(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(B)/bpf/headrace.o: $(BPF_PATH:bpf/%.bpf.c=$(B)/bpf/%.bpf.o)
	$(call msg,BPFLINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $^

$(B)/bpf/selftest.o: $(B)/bpf/selftest.bpf.o
	$(Q)$(BPFTOOL) gen object $@ $^

$(B)/gen/%.skel.h: $(B)/bpf/%.o
	@mkdir -p $(@D)
	$(call msg,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

SKELS := $(if $(BPF_PATH),$(B)/gen/headrace.skel.h) $(if $(BPF_ALONE),$(B)/gen/selftest.skel.h)

# ---- rooms --------------------------------------------------------------------------------
HDRS := $(wildcard user/*/*.h user/*/*/*.h include/headrace/*.h bpf/lib/*.h)

define ROOM
$(B)/user/$(1)/%.o: user/$(1)/%.c Makefile $(if $(filter kern,$(1)),$(SKELS))
	@mkdir -p $$(@D)
	$$(call msg,CC,$$<)
	$$(Q)$$(CC) $$(CPPFLAGS) $$(CFLAGS) -MMD -MP -c $$< -o $$@
$(B)/lib/$(1).a: $(patsubst user/%.c,$(B)/user/%.o,$(wildcard user/$(1)/*.c user/$(1)/*/*.c))
	@mkdir -p $$(@D)
	$$(call msg,AR,$$@)
	$$(Q)rm -f $$@ && ar rcs $$@ $$^
# a room's library and those below it, in link order
LIBS_$(1) := $(foreach r,$(shell echo $(HAVE) | tr ' ' '\n' | tac),$(if $(shell \
	echo "$(ROOMS)" | tr ' ' '\n' | sed '/^$(1)$$/q' | grep -x $(r)),$(B)/lib/$(r).a))
unit-$(1): $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/$(1)/test_*.c))
	@for t in $$^; do $$(RUN) $$$$t || exit 1; done
# sources beside the tests that are no test themselves belong to all of them
UNIT_$(1) := $(filter-out $(wildcard tests/unit/$(1)/test_*.c),$(wildcard tests/unit/$(1)/*.c))
$(B)/tests/unit/$(1)/%: tests/unit/$(1)/%.c $$(UNIT_$(1)) $$(LIBS_$(1)) $(wildcard tests/unit/$(1)/*.h tests/lib/*.h) \
		Makefile
	@mkdir -p $$(@D)
	$$(call msg,TEST,$$@)
	$$(Q)$$(CC) $$(CPPFLAGS) -Itests/lib $$(CFLAGS) $$< $$(UNIT_$(1)) $$(LDFLAGS) -Wl,--start-group \
		$$(LIBS_$(1)) -Wl,--end-group -lcmocka $$(LDLIBS) -o $$@
endef
$(foreach r,$(ROOMS),$(eval $(call ROOM,$(r))))
-include $(shell find $(B) -name '*.d' 2>/dev/null)

$(B)/headrace: $(LIBS_cli) Makefile
	$(call msg,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -Wl,--start-group -Wl,--whole-archive $(B)/lib/cli.a \
		-Wl,--no-whole-archive $(filter-out $(B)/lib/cli.a,$(LIBS_cli)) -Wl,--end-group \
		$(LDLIBS) -o $@

unit: $(foreach r,$(HAVE),unit-$(r)) ## unit tests of every room

-include tests/bpf/rules.mk tests/fuzz/rules.mk

# ---- verbs --------------------------------------------------------------------------------
# They install what is missing first, so what they build is built by a second make: this one has
# already looked for the compilers.
setup: ## install the Debian packages that are missing
	@sh deploy/setup.sh

demo: setup ## a short story in three namespaces, with counted numbers (root)
	@$(MAKE) --no-print-directory all
	@B=$(B) tests/demo/demo

test: setup ## everything: unit, sanitizers, fuzz corpora, BPF, end to end on both paths (root)
	@B=$(B) MAKE="$(MAKE)" tests/run.sh $(TESTS)

bench: ## every figure, beside direct TCP and other proxies, into bench/out: 10 minutes (root)
	@sh deploy/setup.sh build test bench
	@$(MAKE) --no-print-directory all
	@B=$(B) bench/bench.py $(BENCH)

diff: all ## the same YAML and bytes beside real Envoy, by hand: ENVOY=/path/to/envoy (root)
	tests/diff/run.py

vmtest: ## the tests inside VMs over a matrix of Debian kernels (root)
	@sh deploy/setup.sh build test vm
	@$(MAKE) --no-print-directory all
	@B=$(B) vmtests/run.py $(KERNELS)

lint: ## layout, length, licence, format, cppcheck
	@tests/lint/run.sh

PREFIX  ?= /usr/local
DESTDIR ?=
SHARE    = $(DESTDIR)$(PREFIX)/share/headrace
install: all ## into PREFIX (/usr/local): binary, man page, completion, systemd unit, demo
	install -D -m 755 $(B)/headrace $(DESTDIR)$(PREFIX)/sbin/headrace
	$(B)/headrace help --man > $(B)/headrace.8
	install -D -m 644 $(B)/headrace.8 $(DESTDIR)$(PREFIX)/share/man/man8/headrace.8
	$(B)/headrace completion bash > $(B)/headrace.bash
	install -D -m 644 $(B)/headrace.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/headrace
	sed 's,@PREFIX@,$(PREFIX),' deploy/headrace.service > $(B)/headrace.service
	install -D -m 644 $(B)/headrace.service $(DESTDIR)/etc/systemd/system/headrace.service
	install -d $(SHARE)/tests/lib $(SHARE)/tests/demo
	install -m 644 tests/lib/*.py $(SHARE)/tests/lib
	install -m 755 tests/demo/demo $(SHARE)/tests/demo
	cp -r policies $(SHARE)
	ln -sfn tests/demo $(SHARE)/demo

clean: ## remove build/
	rm -rf $(B)

.PHONY: help all unit setup demo test bench vmtest diff fuzz lint install clean \
	$(foreach r,$(ROOMS),unit-$(r))
