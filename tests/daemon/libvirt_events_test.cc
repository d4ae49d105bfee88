// SPDX-License-Identifier: GPL-2.0-or-later
//
// libvirt's own test driver: domains that exist in this process alone, with real events.
#include "daemon/libvirt_events.h"
#include "fake_qemu.h"

#include <catch2/catch_test_macros.hpp>
#include <libvirt/libvirt.h>
#include <memory>
#include <optional>

using namespace tidemark::daemon;
using namespace tidemark::daemon::testing;
using Kind = LibvirtDomainChange::Kind;

namespace {

constexpr const char *kUri = "test:///default"; // has one domain, "test", which runs

struct Libvirt {
    Libvirt() : connect(virConnectOpen(kUri)) {
        REQUIRE(connect != nullptr);
        domain = virDomainLookupByName(connect, "test");
        REQUIRE(domain != nullptr);
    }
    ~Libvirt() {
        virDomainFree(domain);
        virConnectClose(connect);
    }
    void set(const char *xml) const {
        REQUIRE(virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, xml, "tidemark",
                                     "urn:tidemark:domain:1", VIR_DOMAIN_AFFECT_LIVE) == 0);
    }
    virConnectPtr connect;
    virDomainPtr domain = nullptr;
};

struct Bench {
    explicit Bench(const std::string &uri)
        : events(std::make_unique<LibvirtEvents>(
              io, uri, [this](const LibvirtDomainChange &change) { seen.push_back(change); })) {}
    const LibvirtDomainChange *last(Kind kind) const {
        for (auto it = seen.rbegin(); it != seen.rend(); ++it)
            if (it->kind == kind)
                return &*it;
        return nullptr;
    }

    boost::asio::io_context io;
    std::vector<LibvirtDomainChange> seen;
    std::unique_ptr<LibvirtEvents> events;
};

} // namespace

TEST_CASE("domains are seen, their element and their life followed") {
    Bench bench(kUri);
    REQUIRE(run_until(bench.io, [&] { return bench.last(Kind::seen) != nullptr; }));
    CHECK(bench.events->connected());
    CHECK(bench.last(Kind::seen)->name == "test");
    CHECK(bench.last(Kind::seen)->uuid.size() == 36);
    CHECK(bench.last(Kind::seen)->active);
    CHECK_FALSE(bench.last(Kind::seen)->has_element);

    const Libvirt libvirt;
    libvirt.set("<memory dram='25%'/>");
    REQUIRE(run_until(bench.io, [&] {
        const LibvirtDomainChange *change = bench.last(Kind::metadata);
        return change != nullptr && change->has_element;
    }));
    CHECK(bench.last(Kind::metadata)->element.find("25%") != std::string::npos);
    CHECK(bench.last(Kind::metadata)->uuid == bench.last(Kind::seen)->uuid);

    libvirt.set(nullptr);
    REQUIRE(run_until(bench.io, [&] { return !bench.last(Kind::metadata)->has_element; }));

    REQUIRE(virDomainDestroy(libvirt.domain) == 0);
    REQUIRE(run_until(bench.io, [&] { return bench.last(Kind::stopped) != nullptr; }));
    REQUIRE(virDomainCreate(libvirt.domain) == 0);
    REQUIRE(run_until(bench.io, [&] { return bench.last(Kind::started) != nullptr; }));
}

TEST_CASE("libvirt is asked which domains have ended") {
    Bench bench(kUri);
    REQUIRE(run_until(bench.io, [&] { return bench.last(Kind::seen) != nullptr; }));
    const Libvirt libvirt;
    const std::string uuid = bench.last(Kind::seen)->uuid;
    const std::string unknown = "11111111-2222-3333-4444-555555555555";
    const auto ended = [&] {
        std::optional<LibvirtEvents::Ended> answer;
        bench.events->ask_ended({uuid, unknown}, [&](auto said) { answer = std::move(said); });
        REQUIRE(run_until(bench.io, [&] { return answer.has_value(); }));
        return *answer;
    };
    CHECK(ended() == LibvirtEvents::Ended{unknown});
    REQUIRE(virDomainDestroy(libvirt.domain) == 0);
    CHECK(ended() == LibvirtEvents::Ended{uuid, unknown});
    REQUIRE(virDomainCreate(libvirt.domain) == 0);
    CHECK(ended() == LibvirtEvents::Ended{unknown});
}

TEST_CASE("another program's element is none of our business") {
    Bench bench(kUri);
    REQUIRE(run_until(bench.io, [&] { return bench.last(Kind::seen) != nullptr; }));
    const Libvirt libvirt;
    REQUIRE(virDomainSetMetadata(libvirt.domain, VIR_DOMAIN_METADATA_ELEMENT, "<x/>", "x", "urn:x",
                                 VIR_DOMAIN_AFFECT_LIVE) == 0);
    libvirt.set("<memory/>"); // comes behind it
    REQUIRE(run_until(bench.io, [&] { return bench.last(Kind::metadata) != nullptr; }));
    libvirt.set(nullptr);
    for (const LibvirtDomainChange &change : bench.seen)
        CHECK(change.element.find("<x") == std::string::npos);
}

TEST_CASE("without libvirt nothing happens, and it ends at once") {
    Bench none("");
    CHECK_FALSE(none.events->connected());
    Bench nowhere("qemu+unix:///system?socket=/nonexistent/socket");
    nowhere.io.poll();
    CHECK_FALSE(nowhere.events->connected());
    CHECK(nowhere.seen.empty());
    // Nobody answers, which says nothing about any domain.
    nowhere.events->ask_ended({"11111111-2222-3333-4444-555555555555"},
                              [](const LibvirtEvents::Ended &) { FAIL("who says so?"); });
    nowhere.io.restart();
    nowhere.io.poll();
}
