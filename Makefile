# make         build/cofre and build/cofrectl: static, stripped, with unstripped copies beside them
# make deps    install or build what is missing (run by itself when something is)
# make up      three nodes, in containers or, without a Docker engine, as processes; make down undoes it
# make test    every test;  make lint, make unit, make sim, make diff, make conformance, make e2e, make bench: parts

BUILD ?= build
V ?= $(shell cat VERSION)
CC ?= gcc

# Layers: a module may include the doors of the modules named here, and of base always.
MODULES := base pflag proto pbjson raft wal image kvdb net h2 grpc gateway mvcc lease auth watch apply peer replica restore api admin srv proxy tcpproxy server
USES_base :=
USES_pflag :=
USES_proto :=
USES_pbjson := proto
USES_raft :=
USES_wal :=
USES_image :=
USES_kvdb :=
USES_net :=
USES_h2 :=
USES_grpc := net h2
USES_gateway := proto pbjson net grpc
USES_mvcc := kvdb image
USES_lease := proto kvdb
USES_auth := kvdb
USES_watch := proto mvcc
USES_apply := proto mvcc lease auth kvdb
USES_peer := proto net raft image
USES_replica := raft
USES_restore := image kvdb mvcc wal replica
USES_api := proto net grpc kvdb image mvcc lease auth watch apply replica
USES_admin := net gateway
USES_srv := net
USES_proxy := pflag proto net grpc peer admin srv
USES_tcpproxy := pflag net srv
USES_server := $(filter-out server,$(MODULES))
USES_client := net h2 grpc proto image
USES_cli := $(USES_client) client pflag restore srv

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual \
        -Wvla -Wformat=2 -Wimplicit-fallthrough -Wno-unused-parameter -Wno-missing-field-initializers
CPPFLAGS += -D_GNU_SOURCE -DCOFRE_VERSION='"$(V)"' -Inode -isystem $(BUILD)/gen -isystem $(BUILD)/deps/include -isystem $(BUILD)/gen/proto -Iclient -Iclient/include
HARDEN := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fcf-protection -ffunction-sections -fdata-sections
CFLAGS_rel := -std=gnu11 -O2 -g $(HARDEN)
LDFLAGS_rel := -static -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--gc-sections
CFLAGS_san := -std=gnu11 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
LDFLAGS_san := -fsanitize=address,undefined
CFLAGS_tsan := -std=gnu11 -O1 -g -fno-omit-frame-pointer -fsanitize=thread
LDFLAGS_tsan := -fsanitize=thread
# With the mistakes of base/bug.h, for the simulators alone.
CFLAGS_bug := $(CFLAGS_rel) -DCOFRE_BUGS
LDFLAGS_bug := $(LDFLAGS_rel)

NODE_LIBS := -L$(BUILD)/deps/lib -lnghttp2 -lprotobuf-c -llmdb -lmicrohttpd -ljansson -lyaml -lz -lssl -lcrypto \
             -lcrypt -l:libuv_a.a -lpthread -lm -ldl -lrt
CLIENT_LIBS := -lnghttp2 -lprotobuf-c -llmdb -ljansson -lz -lssl -lcrypto -l:libuv_a.a -lpthread -lm -ldl -lrt

PROTOS := $(wildcard node/proto/*.proto)
GEN_H := $(patsubst node/proto/%.proto,$(BUILD)/gen/proto/%.pb-c.h,$(PROTOS))
GEN_C := $(GEN_H:.h=.c)

# closure(m): m and all it may use (order is no matter: archives are linked as a group)
closure = $(sort $(1) $(foreach m,$(1),$(call closure,$(USES_$(m)))))

.PHONY: all deps up down clean-data test lint unit sim sim-bugs fuzz tsan e2e diff conformance bench test-k8s layers clean help
.DELETE_ON_ERROR:
.SECONDARY:
all: $(BUILD)/cofre $(BUILD)/cofrectl

help:
	@sed -n '1,4s/^# //p' Makefile

DEPS_STAMP := $(BUILD)/deps/.stamp
$(DEPS_STAMP): deploy/deps.sh
	BUILD=$(BUILD) deploy/deps.sh
deps:
	BUILD=$(BUILD) deploy/deps.sh

$(BUILD)/gen/proto/%.pb-c.h $(BUILD)/gen/proto/%.pb-c.c &: node/proto/%.proto | $(DEPS_STAMP)
	@mkdir -p $(BUILD)/gen/proto
	protoc-c -I node/proto --c_out=$(BUILD)/gen/proto $<

# One archive a module and flavour: $(BUILD)/rel/libraft.a, $(BUILD)/san/libraft.a ...
sources = $(if $(filter client,$(1)),$(wildcard client/lib/*.c),$(if $(filter cli,$(1)),$(wildcard client/cli/*.c),$(filter-out node/server/main.c,$(wildcard node/$(1)/*.c))))
define flavour
$(BUILD)/$(1)/%.o: %.c $(GEN_H) | $(DEPS_STAMP)
	@mkdir -p $$(@D)
	$$(CC) $$(CPPFLAGS) $$(CFLAGS_$(1)) $$(WARN) -MMD -MP -c $$< -o $$@
$(BUILD)/$(1)/gen/%.o: $(BUILD)/gen/%.c $(GEN_H) | $(DEPS_STAMP)
	@mkdir -p $$(@D)
	$$(CC) $$(CPPFLAGS) -I$(BUILD)/gen/proto $$(CFLAGS_$(1)) -c $$< -o $$@
$(foreach m,$(filter-out proto,$(MODULES)) client cli,
$(BUILD)/$(1)/lib$(m).a: $(patsubst %.c,$(BUILD)/$(1)/%.o,$(call sources,$(m)))
	@mkdir -p $$(@D) && rm -f $$@ && ar rcs $$@ $$^
)
$(BUILD)/$(1)/libproto.a: $(patsubst $(BUILD)/gen/%.c,$(BUILD)/$(1)/gen/%.o,$(GEN_C)) $(patsubst %.c,$(BUILD)/$(1)/%.o,$(wildcard node/proto/*.c))
	@mkdir -p $$(@D) && rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach f,rel san tsan bug,$(eval $(call flavour,$(f))))
# llhttp: C sources of Debian's node-llhttp, compiled here for peer/
LLHTTP := $(BUILD)/deps/lib/libllhttp.a

archives = $(foreach m,$(sort $(call closure,$(2)) base),$(BUILD)/$(1)/lib$(m).a)

$(BUILD)/cofre.debug: $(BUILD)/rel/node/server/main.o $(call archives,rel,server) $(LLHTTP)
	$(CC) $(CFLAGS_rel) $(LDFLAGS_rel) $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(NODE_LIBS) -o $@
$(BUILD)/cofrectl.debug: $(call archives,rel,cli)
	$(CC) $(CFLAGS_rel) $(LDFLAGS_rel) -Wl,--start-group $^ -Wl,--end-group $(CLIENT_LIBS) -o $@
$(BUILD)/cofre: $(BUILD)/cofre.debug
	strip -s $< -o $@
$(BUILD)/cofrectl: $(BUILD)/cofrectl.debug
	strip -s $< -o $@
$(BUILD)/cofre.san: $(BUILD)/san/node/server/main.o $(call archives,san,server) $(LLHTTP)
	$(CC) $(CFLAGS_san) $(LDFLAGS_san) $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(NODE_LIBS) -o $@
$(BUILD)/cofre.tsan: $(BUILD)/tsan/node/server/main.o $(call archives,tsan,server) $(LLHTTP)
	$(CC) $(CFLAGS_tsan) $(LDFLAGS_tsan) $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(NODE_LIBS) -o $@

$(LLHTTP): | $(DEPS_STAMP)
	@test -f $@

# Unit tests: tests/unit/<module>/test_<file>.c, cmocka, under ASan and UBSan. make unit-raft runs one module's.
UNIT_MODULES := $(notdir $(patsubst %/,%,$(dir $(wildcard tests/unit/*/test_*.c))))
UNIT_MODULES := $(sort $(UNIT_MODULES))
define unit_rules
$(BUILD)/san/tests/unit/$(1)/%: $(BUILD)/san/tests/unit/$(1)/%.o $(call archives,san,$(1)) | $(LLHTTP)
	$$(CC) $$(CFLAGS_san) $$(LDFLAGS_san) $$< -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group -lcmocka $(LLHTTP) $$(NODE_LIBS) -o $$@
UNIT_BIN_$(1) := $(patsubst %.c,$(BUILD)/san/%,$(wildcard tests/unit/$(1)/test_*.c))
.PHONY: unit-$(1)
unit-$(1): $$(UNIT_BIN_$(1))
	@deploy/run-unit.sh $$^
endef
$(foreach m,$(UNIT_MODULES),$(eval $(call unit_rules,$(m))))
# What the tests of one module share.
$(BUILD)/san/tests/unit/raft/libcluster.a: $(BUILD)/san/tests/unit/raft/cluster.o
	@rm -f $@ && ar rcs $@ $^
$(UNIT_BIN_raft): $(BUILD)/san/tests/unit/raft/libcluster.a
$(BUILD)/san/tests/unit/raft/test_scenario.o: CPPFLAGS += -DSCENARIO_DIR='"$(CURDIR)/tests/unit/raft/scenarios"'
unit: $(foreach m,$(UNIT_MODULES),$(UNIT_BIN_$(m)))
	@deploy/run-unit.sh $^

# The simulator of whole members. make sim RUNS=n SEED=first; sim-bugs shows that it finds what is put in on purpose.
RUNS ?= 2000
SEED ?= 1
JOBS ?= $(shell nproc)
SIM_SERVER := rim conf store boot_log boot_replica image_in image_out
SIM_MODULES := proto net raft replica wal image kvdb mvcc lease watch apply peer
define simulator
$(BUILD)/sim.$(1): $(patsubst %.c,$(BUILD)/$(1)/%.o,$(wildcard tests/sim/*.c)) $(SIM_SERVER:%=$(BUILD)/$(1)/node/server/%.o) $(call archives,$(1),$(SIM_MODULES)) | $(LLHTTP)
	$$(CC) $$(CFLAGS_$(1)) $$(LDFLAGS_$(1)) $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $(LLHTTP) $$(NODE_LIBS) -o $$@
endef
$(foreach f,rel san bug,$(eval $(call simulator,$(f))))
sim: $(BUILD)/sim.rel $(BUILD)/sim.san
	@deploy/sim.sh runs $(BUILD) $(RUNS) $(SEED) $(JOBS)
sim-bugs: $(BUILD)/sim.bug
	@deploy/sim.sh bugs $(BUILD) $(JOBS)

up: all
	@BUILD=$(BUILD) deploy/up.sh up
down clean-data:
	@BUILD=$(BUILD) deploy/up.sh $@
test:
	@BUILD=$(BUILD) deploy/test.sh
lint:
	@deploy/lint.sh
e2e: all
	@BUILD=$(BUILD) deploy/e2e.sh
test-k8s: all
	@BUILD=$(BUILD) deploy/test-k8s.sh
# For deploy/lint.sh: each module and the doors it may include.
layers:
	@$(foreach m,$(MODULES) client cli,echo '$(m): $(sort base $(USES_$(m)))';)

# Benchmark: programs and the script that runs them beside etcd.
BENCH_METERED := $(addprefix $(BUILD)/bench/,calls fanout keepalive stream)
$(BENCH_METERED): $(BUILD)/rel/tests/bench/meter.o
$(BUILD)/bench/load $(BUILD)/bench/gap $(BENCH_METERED): $(BUILD)/bench/%: $(BUILD)/rel/tests/bench/%.o $(call archives,rel,grpc proto)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_rel) $(LDFLAGS_rel) $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(CLIENT_LIBS) -o $@
$(BUILD)/bench/mvcc_store: $(BUILD)/rel/tests/bench/mvcc_store.o $(call archives,rel,mvcc)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_rel) $(LDFLAGS_rel) $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group -llmdb -lcrypto -lpthread -o $@
$(BUILD)/bench/%: $(BUILD)/rel/tests/bench/%.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_rel) $(LDFLAGS_rel) $< -lnghttp2 -o $@
bench: all $(addprefix $(BUILD)/bench/,floor body load gap free_port) $(BENCH_METERED)
	@BUILD=$(abspath $(BUILD)) tests/bench/bench.sh $(BENCH)

# The differential run: make diff RUNS=n SEED=first; the same calls to an etcd and to ours, and every answer compared.
DIFF_C := $(wildcard tests/diff/*.c)
$(BUILD)/diff: $(patsubst %.c,$(BUILD)/rel/%.o,$(DIFF_C)) $(call archives,rel,grpc proto)
	$(CC) $(CFLAGS_rel) $(LDFLAGS_rel) $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(CLIENT_LIBS) -o $@
$(BUILD)/diff.san: $(patsubst %.c,$(BUILD)/san/%.o,$(DIFF_C)) $(call archives,san,grpc proto)
	$(CC) $(CFLAGS_san) $(LDFLAGS_san) $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(CLIENT_LIBS) -o $@
diff: all $(BUILD)/diff
	@BUILD=$(abspath $(BUILD)) tests/diff/diff.sh $(RUNS) $(SEED)

# Conformance: the API's rules, a row each (tests/conformance/table.h says how they are written), and watches in numbers; the
# same against an etcd, so that the rows are right. ROWS=text: only the rows with this text.
$(BUILD)/conformance/%: $(BUILD)/rel/tests/conformance/%.o $(call archives,rel,grpc proto)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_rel) $(LDFLAGS_rel) $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(CLIENT_LIBS) -o $@
TABLE_C := $(filter-out tests/conformance/watch.c tests/conformance/table.c,$(wildcard tests/conformance/*.c))
$(BUILD)/conformance/table: $(patsubst %.c,$(BUILD)/rel/%.o,$(TABLE_C) $(patsubst %,tests/diff/%.c,side message rules proxy))
$(BUILD)/rel/tests/conformance/%.o: CPPFLAGS += -I.
conformance: all $(BUILD)/conformance/watch $(BUILD)/conformance/table
	@BUILD=$(abspath $(BUILD)) tests/conformance/conformance.sh

clean:
	rm -rf $(BUILD)/rel $(BUILD)/san $(BUILD)/tsan $(BUILD)/gen $(BUILD)/cofre* 

-include $(shell find $(BUILD)/rel $(BUILD)/san $(BUILD)/tsan $(BUILD)/bug -name '*.d' 2>/dev/null)
