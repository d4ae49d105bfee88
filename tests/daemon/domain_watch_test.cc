// SPDX-License-Identifier: GPL-2.0-or-later
//
// Starts and stops that the hook could not tell of, and elements that change while their guest runs.
#include "daemon/domain_watch.h"

#include "daemon/domains.h"
#include "daemon/groups.h"
#include "daemon/settings.h"
#include "daemon/sqlite_store.h"
#include "failing_store.h"
#include "guests_bench.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace tidemark;
using namespace tidemark::daemon;
using namespace tidemark::daemon::testing;
using Catch::Matchers::ContainsSubstring;
using Kind = LibvirtDomainChange::Kind;

namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kFloor = 256 * kMiB;

struct WatchBench : GuestsBench {
    explicit WatchBench(std::chrono::milliseconds grace = std::chrono::hours(1)) {
        config.run_dir = options.run_dir;
        config.tiers.resize(1);
        config.tiers[0].path = "/tier";
        auto opened = open_sqlite_store(dir / "tidemark.db");
        REQUIRE(opened);
        store = std::move(*opened);
        failing = std::make_unique<FailingStore>(*store);
        groups = *Groups::open(*failing);
        settings = *Settings::open(*failing, *groups, {});
        domains = *Domains::open(*failing, *groups, *settings, config, 4 * kGiB);
        watch =
            std::make_unique<DomainWatch>(io, config, *domains, *guests,
                                          DomainWatchTimes{.look = std::chrono::milliseconds(10),
                                                           .grace = grace,
                                                           .ask = std::chrono::milliseconds(30)});
    }
    ~WatchBench() override {
        watch.reset(); // its looks are at the guests
        end();
    }

    static domain::Domain told(const std::string &uuid, const std::string &name) {
        domain::Domain domain;
        domain.uuid = uuid;
        domain.name = name;
        domain.memory = domain.current = domain.max_memory = kGiB;
        domain.element.emplace();
        domain.element->dram = domain::Amount::percent(50);
        domain.element->floor = domain::Amount::percent(25);
        domain.element->affinity = {domain::Affinity::Kind::group, "team"};
        domain.element->policy.cold = 44;
        return domain;
    }
    // The hook asks, and writes what it is told.
    void prepare(const std::string &uuid, const std::string &name, bool write = true) const {
        const auto resolved = domains->prepare(told(uuid, name));
        REQUIRE(resolved);
        if (write)
            define(*resolved);
    }
    void release(const std::string &uuid) const {
        std::filesystem::remove(config.domain_file(uuid));
    }
    void say(Kind kind, const std::string &uuid, const std::string &element = "") const {
        LibvirtDomainChange change;
        change.kind = kind;
        change.uuid = uuid;
        change.name = "web";
        change.active = kind != Kind::stopped;
        change.element = element;
        change.has_element = !element.empty();
        watch->follow(change);
    }
    bool has_file(const std::string &uuid) const {
        return std::filesystem::exists(config.domain_file(uuid));
    }
    bool forgotten(const std::string &uuid) const {
        return domains->find(uuid) == nullptr && guests->find(uuid) == nullptr;
    }

    domain::HostConfig config;
    std::unique_ptr<Store> store;
    std::unique_ptr<FailingStore> failing;
    std::unique_ptr<Groups> groups;
    std::unique_ptr<Settings> settings;
    std::unique_ptr<Domains> domains;
    std::unique_ptr<DomainWatch> watch;
};

} // namespace

TEST_CASE("a domain that ends unheard gives back its floor") {
    WatchBench bench;
    bench.prepare(kWeb, "web");
    auto web = bench.boot(kWeb, "web");
    CHECK(bench.domains->floors() == kFloor);
    CHECK(bench.groups->group_of(kWeb) != nullptr);
    SECTION("its QEMU is the last that goes") {
        bench.release(kWeb);
        web->qemu->close();
    }
    SECTION("its file is the last that goes") {
        web->qemu->close();
        REQUIRE(bench.until([&] { return !bench.is_connected(kWeb); }));
        CHECK(bench.domains->floors() == kFloor); // it may come back
        bench.release(kWeb);
    }
    SECTION("libvirt says it first") {
        bench.say(Kind::stopped, kWeb);
        CHECK(bench.domains->floors() == kFloor);
        web->qemu->close();
        bench.release(kWeb);
    }
    REQUIRE(bench.until([&] { return bench.forgotten(kWeb); }));
    CHECK(bench.domains->floors() == 0);
    CHECK(bench.groups->group_of(kWeb) == nullptr);
    CHECK(bench.removed == std::vector<std::string>{kWeb});
}

TEST_CASE("a domain that never came up is forgotten") {
    SECTION("at once if libvirt says so, else not before its time") {
        WatchBench bench;
        bench.prepare(kWeb, "web");
        bench.prepare(kDb, "db", false);
        bench.say(Kind::stopped, kWeb);
        CHECK(bench.domains->find(kWeb) != nullptr);
        bench.release(kWeb);
        REQUIRE(bench.until([&] { return bench.forgotten(kWeb); }));
        CHECK(bench.domains->floors() == kFloor); // of the other, whose file is still to come
    }
    SECTION("after a while if nobody does") {
        WatchBench bench(std::chrono::milliseconds(30));
        bench.prepare(kDb, "db", false);
        CHECK(bench.domains->floors() == kFloor);
        REQUIRE(bench.until([&] { return bench.domains->floors() == 0; }));
    }
}

TEST_CASE("what ended is forgotten although the store cannot be written, and there later, too") {
    WatchBench bench;
    bench.prepare(kWeb, "web");
    bench.failing->fails = true;
    bench.release(kWeb);
    CHECK(bench.watch->stopped(kWeb).error().code == ENOSPC);
    CHECK(bench.domains->floors() == 0);
    CHECK(bench.store->keys(RecordKind::domain)->size() == 1);
    bench.failing->fails = false;
    REQUIRE(bench.until([&] { return bench.store->keys(RecordKind::domain)->empty(); }));
    CHECK(bench.groups->group_of(kWeb) == nullptr);
}

TEST_CASE("a guest of no domain is none of this") {
    WatchBench bench;
    bench.prepare(kDb, "db");
    auto web = bench.boot(kWeb, "web"), db = bench.boot(kDb, "db");
    bench.release(kDb);
    web->qemu->close();
    db->qemu->close();
    REQUIRE(bench.until([&] { return bench.forgotten(kDb); }));
    CHECK(bench.guests->find(kWeb) != nullptr); // it may come back
}

namespace {

// Who is asked about files that stayed, and answers when it is told to.
struct AskedLibvirt {
    explicit AskedLibvirt(WatchBench &bench) {
        bench.watch->ask_with([this](const std::vector<std::string> &uuids, auto answer) {
            for (const std::string &uuid : uuids)
                ++asked[uuid];
            last = std::move(answer);
        });
    }
    std::map<std::string, int> asked;
    std::function<void(LeftFiles::Ended)> last;
};

} // namespace

TEST_CASE("a file that the hook did not remove goes when libvirt says that its domain has ended") {
    WatchBench bench(std::chrono::milliseconds(30));
    bench.prepare(kWeb, "web");
    AskedLibvirt libvirt(bench);
    REQUIRE(bench.until([&] { return libvirt.asked[kWeb] == 1; }));
    SECTION("of a domain that is known, and gives back its floor") {
        CHECK(bench.domains->floors() == kFloor);
        libvirt.last({kWeb});
        CHECK_FALSE(bench.has_file(kWeb));
        REQUIRE(bench.until([&] { return bench.forgotten(kWeb); }));
        CHECK(bench.domains->floors() == 0);
    }
    SECTION("of a domain that is known no more: a daemon that starts would take it in") {
        CHECK(bench.watch->stopped(kWeb));
        libvirt.last({kWeb});
        CHECK_FALSE(bench.has_file(kWeb));
    }
    std::error_code error;
    CHECK(std::filesystem::is_empty(bench.config.domains_dir(), error));
}

TEST_CASE("a file stays while its domain may run") {
    WatchBench bench;
    bench.prepare(kWeb, "web");
    SECTION("libvirt says that it does, or nothing: it is asked again") {
        AskedLibvirt libvirt(bench);
        REQUIRE(bench.until([&] { return libvirt.asked[kWeb] == 1; }));
        libvirt.last({kDb});
        REQUIRE(bench.until([&] { return libvirt.asked[kWeb] == 3; }));
    }
    SECTION("the next start was prepared since libvirt was asked") {
        AskedLibvirt libvirt(bench);
        REQUIRE(bench.until([&] { return libvirt.asked[kWeb] == 1; }));
        const auto answer = libvirt.last;
        const std::string path = bench.config.domain_file(kWeb);
        std::filesystem::copy_file(path, path + ".new");
        std::filesystem::rename(path + ".new", path);
        answer({kWeb});
        CHECK(bench.has_file(kWeb));
        REQUIRE(bench.until([&] { return libvirt.asked[kWeb] == 2; })); // about the new one
        answer({kWeb});
        CHECK_FALSE(bench.has_file(kWeb));
        bench.prepare(kWeb, "web");
    }
    SECTION("its QEMU came since") {
        AskedLibvirt libvirt(bench);
        REQUIRE(bench.until([&] { return libvirt.asked[kWeb] == 1; }));
        auto web = bench.boot(kWeb, "web");
        libvirt.last({kWeb});
    }
    SECTION("its QEMU is connected, or went away and its process is there") {
        auto web = bench.boot(kWeb, "web");
        bench.prepare(kDb, "db");
        AskedLibvirt libvirt(bench);
        REQUIRE(bench.until([&] { return libvirt.asked[kDb] == 2; }));
        web->qemu->close();
        REQUIRE(bench.until([&] { return !bench.is_connected(kWeb); }));
        REQUIRE(bench.until([&] { return libvirt.asked[kDb] == 5; }));
        CHECK(libvirt.asked[kWeb] == 0);
        libvirt.last({kWeb});
    }
    CHECK(bench.has_file(kWeb));
    CHECK(bench.domains->find(kWeb) != nullptr);
}

TEST_CASE("a start that nobody told of is noticed") {
    WatchBench bench;
    auto resolved = WatchBench::domain_of(kWeb, "web"); // the hook was alone
    resolved.policy.cold = 44;
    bench.define(resolved);
    const std::string element =
        "<memory xmlns='urn:tidemark:domain:1' dram='75%' floor='25%'><policy cold='45'/></memory>";
    SECTION("by its QEMU") {
        auto web = bench.boot(kWeb, "web");
        CHECK(bench.guests->find(kWeb)->settings.dram_floor == resolved.dram_floor);
        REQUIRE(bench.until([&] { return bench.domains->find(kWeb) != nullptr; }));
        CHECK(bench.domains->floors() == resolved.dram_floor);
        REQUIRE(bench.until([&] { return web->stats[0]["cold-age"] == 44; }));
    }
    SECTION("by libvirt, which knows its element") {
        bench.say(Kind::started, kWeb, element);
        REQUIRE(bench.domains->find(kWeb) != nullptr);
        CHECK(bench.domains->element_settings(kWeb)->policy.cold == 45);
        REQUIRE(bench.guests->find(kWeb) != nullptr);
        CHECK(bench.guests->find(kWeb)->settings.dram_floor == kFloor);
    }
    SECTION("and what was prepared stays as it was") {
        bench.prepare(kWeb, "web");
        bench.say(Kind::started, kWeb, element);
        CHECK(bench.domains->element_settings(kWeb)->policy.cold == 44);
        CHECK(bench.guests->find(kWeb)->has_domain);
    }
    SECTION("but not if it is none of ours") {
        bench.say(Kind::started, kDb, element);
        CHECK(bench.domains->find(kDb) == nullptr);
    }
}

TEST_CASE("an element that has no effect is told with the guest until there is a good one") {
    WatchBench bench;
    bench.prepare(kWeb, "web");
    auto web = bench.boot(kWeb, "web");
    const Guest &guest = *bench.guests->find(kWeb);
    const auto say = [&](const std::string &element) { bench.say(Kind::metadata, kWeb, element); };
    SECTION("wrong") {
        say("<memory xmlns='urn:tidemark:domain:1' dram='lots'/>");
        CHECK_THAT(guest.element_problem, ContainsSubstring("lots"));
    }
    SECTION("more than there is") {
        say("<memory xmlns='urn:tidemark:domain:1' dram='2GiB'/>");
        CHECK_THAT(guest.element_problem, ContainsSubstring("only 1 GiB"));
    }
    SECTION("off") {
        say("<memory xmlns='urn:tidemark:domain:1' mode='off'/>");
        CHECK_THAT(guest.element_problem, ContainsSubstring("until it stops"));
    }
    SECTION("removed") {
        say("");
        CHECK_THAT(guest.element_problem, ContainsSubstring("removed"));
    }
    CHECK(guest.settings.dram_limit == kGiB / 2);
    CHECK(guest.settings.policy.cold == 44);
    say("<memory xmlns='urn:tidemark:domain:1' dram='75%' floor='25%'/>");
    CHECK(guest.element_problem.empty());
    CHECK(guest.settings.dram_limit == kGiB / 4 * 3);
    CHECK_FALSE(guest.settings.policy.cold);
}
