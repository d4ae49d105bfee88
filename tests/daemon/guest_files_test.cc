// SPDX-License-Identifier: GPL-2.0-or-later
//
// What guests leave for themselves and for others of their group: recorded working sets, what was learnt.
#include "daemon/guest_files.h"
#include "domain/recording.h"
#include "guests_bench.h"

#include <cerrno>
#include <sys/stat.h>
#include <unistd.h>

using namespace tidemark;
using namespace tidemark::daemon;
using namespace tidemark::daemon::testing;

namespace {

std::string content(const std::string &path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

const GuestGroup kGroup{"99999999-0000-0000-0000-000000000001", "web", std::nullopt, {}};
const GuestGroup kOther{"99999999-0000-0000-0000-000000000002", "db", std::nullopt, {}};

// The answer of a call, when it is there.
template <typename T> struct Waiting {
    std::optional<Result<T>> got;
    Guests::Done<T> done() {
        return [this](Result<T> result) { got = std::move(result); };
    }
    Result<T> &in(GuestsBench &bench) {
        REQUIRE(bench.until([&] { return got.has_value(); }));
        return *got;
    }
};

std::string learned_file(const GuestsBench &bench, const GuestGroup &group) {
    return bench.options.state_dir + "/learned/" + group.uuid + "/pc.ram-" + std::to_string(kGiB) +
           ".tmln";
}

} // namespace

TEST_CASE("only plain files of QEMU's own are taken") {
    test::TempDir dir;
    const Exchange exchange{dir / "exchange/x", getuid(), getgid()};
    REQUIRE(exchange.prepare());
    const std::string to = dir / "library/group/file";
    std::ofstream(dir / "secret") << "secret";
    SECTION("a plain file") {
        std::ofstream(exchange.file("f")) << "mine";
        REQUIRE(exchange.take("f", to));
        CHECK(content(to) == "mine");
        CHECK_FALSE(std::filesystem::exists(exchange.file("f")));
        REQUIRE(exchange.put(to, "back"));
        CHECK(content(exchange.file("back")) == "mine");
        REQUIRE(exchange.put(to, "back")); // once more, over the first one
        exchange.remove_all();
        CHECK_FALSE(std::filesystem::exists(exchange.dir));
        return;
    }
    SECTION("a link") {
        std::filesystem::create_symlink(dir / "secret", exchange.file("f"));
    }
    SECTION("a second name") {
        std::filesystem::create_hard_link(dir / "secret", exchange.file("f"));
    }
    SECTION("a fifo") {
        REQUIRE(mkfifo(exchange.file("f").c_str(), 0600) == 0);
    }
    SECTION("a folder") {
        std::filesystem::create_directory(exchange.file("f"));
    }
    SECTION("nothing") {}
    SECTION("too large") {
        std::ofstream(exchange.file("f")) << "x";
        std::filesystem::resize_file(exchange.file("f"), kExchangedMost + 1);
    }
    const auto taken = exchange.take("f", to);
    REQUIRE_FALSE(taken);
    CHECK_FALSE(taken.error().sentence.empty());
    CHECK_FALSE(std::filesystem::exists(to));
    CHECK(content(dir / "secret") == "secret");
}

TEST_CASE("a target that is a link is not followed") {
    test::TempDir dir;
    const Exchange exchange{dir / "exchange/x", getuid(), getgid()};
    REQUIRE(exchange.prepare());
    std::ofstream(dir / "victim") << "victim";
    std::ofstream(dir / "kept") << "kept";
    std::filesystem::create_symlink(dir / "victim", exchange.file("f"));
    REQUIRE(exchange.put(dir / "kept", "f"));
    CHECK(content(dir / "victim") == "victim");
    CHECK(content(exchange.file("f")) == "kept");
    CHECK_FALSE(std::filesystem::is_symlink(exchange.file("f")));
}

TEST_CASE("names that are paths are no file names") {
    for (const char *good : {"pc.ram", "ram-node0", "dimm_1"})
        CHECK(is_file_name(good));
    for (const char *bad : {"", ".", "..", ".x", "a/b", "/a", "a b", "a\n"})
        CHECK_FALSE(is_file_name(bad));
    CHECK_FALSE(is_file_name(std::string(65, 'a')));
}

TEST_CASE("a working set is recorded and brought back") {
    GuestsBench bench;
    auto web = bench.boot(kWeb, "web-1", {{"a", kGiB}, {"b", kGiB}});
    const Guest &guest = *bench.guests->find(kWeb);
    Waiting<Guests::Nothing> begun, twice, too_long;
    bench.guests->record(kWeb, std::chrono::seconds(1), Guests::RecordWhy::asked, begun.done());
    bench.guests->record(kWeb, std::chrono::seconds(1), Guests::RecordWhy::asked, twice.done());
    bench.guests->record(kWeb, std::chrono::seconds(domain::kRecordMost + 1),
                         Guests::RecordWhy::asked, too_long.done());
    CHECK(begun.in(bench));
    CHECK(twice.in(bench).error().code == EBUSY);
    CHECK(too_long.in(bench).error().code == EINVAL);
    REQUIRE(bench.until([&] { return guest.record.phase != RecordState::Phase::recording; }));
    CHECK(guest.record.sentence.empty());
    CHECK(guest.record.pages == 22);
    CHECK(content(bench.options.state_dir + "/recorded/" + kWeb + "/b.tmws") == "working set");

    std::string replayed;
    web->qemu->answer("tiered-memory-replay", [&](const json &arguments) {
        replayed += content(arguments.at("file")) + ",";
        return json{{"return", {{"pages", 7}}}};
    });
    Waiting<std::uint64_t> pages;
    bench.guests->replay(kWeb, kWeb, pages.done());
    CHECK(*pages.in(bench) == 14);
    CHECK(replayed == "working set,working set,");

    Waiting<std::uint64_t> unknown, foreign;
    bench.guests->replay(kWeb, kDb, unknown.done());
    CHECK(unknown.in(bench).error().code == ENOENT);
    auto db = bench.boot(kDb, "db-1", {{"a", kGiB}, {"b", kGiB}});
    bench.guests->replay(kDb, kWeb, foreign.done());
    CHECK(foreign.in(bench).error().code == EPERM);
}

TEST_CASE("a recording that QEMU refuses or does not survive is shown as failed") {
    GuestsBench bench;
    auto web = bench.boot(kWeb, "web-1");
    const Guest &guest = *bench.guests->find(kWeb);
    Waiting<Guests::Nothing> refused, begun;
    web->qemu->answer("tiered-memory-record-start",
                      [](const json &) { return FakeQemu::error("it records already"); });
    bench.guests->record(kWeb, std::chrono::seconds(60), Guests::RecordWhy::asked, refused.done());
    CHECK(refused.in(bench).error().sentence == "it records already");
    CHECK(guest.record.phase == RecordState::Phase::failed);
    // The daemon that began it may have died: what it left is thrown away, not written anywhere.
    REQUIRE(
        bench.until([&] { return web->qemu->received("tiered-memory-record-save").size() == 1; }));
    CHECK(web->qemu->received("tiered-memory-record-save")[0]["arguments"] ==
          json{{"id", "pc.ram"}});
    web->qemu->answer("tiered-memory-record-start", json::object());
    bench.guests->record(kWeb, std::chrono::seconds(60), Guests::RecordWhy::asked, begun.done());
    CHECK(begun.in(bench));
    web->qemu->close();
    REQUIRE(bench.until([&] { return guest.record.phase == RecordState::Phase::failed; }));
    CHECK(guest.record.sentence.find("went away") != std::string::npos);
}

TEST_CASE("a record somebody asks for takes the place of one for a warm-up") {
    GuestsBench bench;
    auto web = bench.boot(kWeb, "web-1");
    const Guest &guest = *bench.guests->find(kWeb);
    const auto record = [&](int seconds, Guests::RecordWhy why) {
        Waiting<Guests::Nothing> begun;
        bench.guests->record(kWeb, std::chrono::seconds(seconds), why, begun.done());
        return begun.in(bench);
    };
    CHECK(record(600, Guests::RecordWhy::warm_up));
    CHECK(record(600, Guests::RecordWhy::warm_up).error().code == EBUSY);
    CHECK(record(1, Guests::RecordWhy::asked));
    CHECK(record(1, Guests::RecordWhy::warm_up).error().code == EBUSY);
    // The first one was thrown away before the second began, and the second is saved.
    CHECK(web->qemu->received("tiered-memory-record-save").size() == 1);
    REQUIRE(bench.until([&] { return guest.record.phase == RecordState::Phase::saved; }));
    CHECK(guest.record.pages == 11);
}

TEST_CASE("what one member learnt, a new one of the same group begins with") {
    GuestsBench bench;
    bench.source.group = kGroup;
    auto old = bench.boot(kWeb, "web-1");
    old->profile[0]["seconds"] = 600.0;
    REQUIRE(bench.until([&] {
        const Guest &guest = *bench.guests->find(kWeb);
        return !guest.profile.empty() && guest.profile[0].seconds == 600;
    }));
    // It is about to stop.
    old->qemu->event("SHUTDOWN", {{"guest", true}});
    REQUIRE(bench.until([&] { return std::filesystem::exists(learned_file(bench, kGroup)); }));
    CHECK(content(learned_file(bench, kGroup)) == "learnt");
    CHECK(old->qemu->received("tiered-memory-learned-load").empty());

    auto young = bench.boot(kDb, "web-2");
    std::string loaded;
    young->qemu->answer("tiered-memory-learned-load", [&](const json &arguments) {
        loaded = content(arguments.at("file"));
        return json{{"return", json::object()}};
    });
    REQUIRE(bench.until([&] { return loaded == "learnt"; }));

    // What it got there does not go to another group.
    bench.source.group = kOther;
    bench.guests->refresh_all();
    young->profile[0]["seconds"] = 600.0;
    REQUIRE(bench.until([&] { return bench.guests->find(kDb)->profile[0].seconds == 600; }));
    Waiting<Guests::Nothing> taught;
    bench.guests->save_learned(kDb, taught.done());
    CHECK(taught.in(bench).error().code == EPERM);
    CHECK_FALSE(std::filesystem::exists(learned_file(bench, kOther)));

    // Nor after a restart of the daemon.
    bench.end();
    bench.begin();
    young->connect(bench.io, bench.options.run_dir + "/vm.sock");
    REQUIRE(bench.until([&] {
        const Guest *guest = bench.guests->find(kDb);
        return guest != nullptr && !guest->profile.empty();
    }));
    Waiting<Guests::Nothing> again;
    bench.guests->save_learned(kDb, again.done());
    CHECK(again.in(bench).error().code == EPERM);
}

TEST_CASE("commands say what is wrong with them") {
    GuestsBench bench;
    Waiting<Guests::Ticket> nobody, empty, odd, which, unsure, good;
    bench.guests->prefetch(kWeb, {"", {{0, 4096}}, false, 1, {}}, nobody.done());
    CHECK(nobody.in(bench).error().code == ENOENT);
    auto web = bench.boot(kWeb, "web-1", {{"a", kGiB}, {"b", kGiB}});
    bench.guests->prefetch(kWeb, {"a", {}, false, 1, {}}, empty.done());
    bench.guests->prefetch(kWeb, {"a", {{1, 4096}}, false, 1, {}}, odd.done());
    bench.guests->prefetch(kWeb, {"", {{0, 4096}}, false, 1, {}}, which.done());
    bench.guests->prefetch(kWeb, {"a", {{0, 4096}}, false, 1.5, {}}, unsure.done());
    for (auto *bad : {&empty, &odd, &which, &unsure})
        CHECK(bad->in(bench).error().code == EINVAL);
    CHECK(web->qemu->received("tiered-memory-prefetch").empty());
    web->qemu->answer("tiered-memory-prefetch", {{"ticket", 3}});
    web->qemu->answer("tiered-memory-prefetch-cancel", {{"pages", 5}});
    bench.guests->prefetch(kWeb, {"b", {{4096, 8192}}, true, 0.5, 100}, good.done());
    CHECK(good.in(bench)->ticket == 3);
    CHECK(web->qemu->received("tiered-memory-prefetch")[0]["arguments"] ==
          json{{"id", "b"},
               {"ranges", {{{"offset", 4096}, {"length", 8192}}}},
               {"target", "nvme"},
               {"confidence", 0.5},
               {"deadline-ms", 100}});
    Waiting<std::uint64_t> one, all;
    bench.guests->cancel_prefetch(kWeb, Guests::Ticket{"b", 3}, one.done());
    bench.guests->cancel_prefetch(kWeb, std::nullopt, all.done());
    CHECK(*one.in(bench) == 5);
    CHECK(*all.in(bench) == 10);
    Waiting<Guests::Nothing> odd_workload;
    bench.guests->set_workload(kWeb, "gaming", odd_workload.done());
    CHECK(odd_workload.in(bench).error().code == EINVAL);
}
