// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/guests_impl.h"
#include "daemon/metrics.h"
#include "guests_bench.h"

#include <set>
#include <sstream>

using namespace tidemark;
using namespace tidemark::daemon;
using namespace tidemark::daemon::testing;

namespace {

bool has_line(const std::string &text, const std::string &line) {
    return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

constexpr const char *kLabels =
    R"(uuid="11111111-2222-3333-4444-555555555555",name="we\"b",backend="pc.ram")";

} // namespace

TEST_CASE("metrics tell what QEMU told") {
    GuestsBench bench;
    Metrics metrics(*bench.guests);
    bench.source.group = GuestGroup{"99999999-0000-0000-0000-000000000001", "web", {}, {}};
    auto web = bench.boot(kWeb, "we\"b");
    auto db = bench.boot(kDb, "db");
    REQUIRE(bench.until([&] {
        return !bench.guests->find(kWeb)->profile.empty() &&
               !bench.guests->find(kDb)->profile.empty();
    }));
    web->qemu->event("TIERED_MEMORY_PRESSURE", {{"id", "pc.ram"}});
    REQUIRE(bench.until([&] { return !bench.guests->find(kWeb)->events.empty(); }));
    const std::string text = metrics.text();
    const std::string of = std::string("{") + kLabels;
    CHECK(has_line(text, "tidemark_guest_dram_limit_bytes" + of + "} 268435456"));
    CHECK(has_line(text, "tidemark_guest_faults_by_page_total" + of + ",page=\"stored\"} 30"));
    CHECK(has_line(text,
                   "tidemark_guest_prefetch_used_bytes_total" + of + ",origin=\"streams\"} 20480"));
    CHECK(has_line(text, "tidemark_guest_tier_errors_total" + of +
                             ",tier=\"0\",class=\"nvme\",kind=\"checksum\"} 3"));
    CHECK(has_line(text, "tidemark_guest_fault_latency_seconds_bucket" + of + ",le=\"+Inf\"} 100"));
    CHECK(has_line(text, "tidemark_group_guests{group=\"99999999-0000-0000-0000-000000000001\","
                         "group_name=\"web\"} 2"));
    CHECK(has_line(text, "tidemark_guests_connected 2"));
    CHECK(text.find("event=\"TIERED_MEMORY_PRESSURE\"} 1\n") != std::string::npos);

    // Each family stands once, with its type, and no series twice.
    std::set<std::string> families, series;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("# TYPE "))
            CHECK(families.insert(line).second);
        else if (!line.starts_with("#"))
            CHECK(series.insert(line.substr(0, line.rfind(' '))).second);
    }
    CHECK(families.size() > 40);

    // A guest that is away has no state any more, but it is not forgotten.
    web->qemu->close();
    REQUIRE(bench.until([&] { return !bench.is_connected(kWeb); }));
    const std::string later = metrics.text();
    CHECK(later.find("tidemark_guest_dram_limit_bytes" + of) == std::string::npos);
    CHECK(later.find("tidemark_guest_up{uuid=\"11111111") != std::string::npos);
}

TEST_CASE("what a guest does not take is a metric") {
    GuestsBench bench;
    Metrics metrics(*bench.guests);
    bench.source.group = GuestGroup{"g", "web", std::nullopt, {}};
    bench.source.group->policy.cold = 7;
    auto web = bench.boot(kWeb, "web");
    auto db = bench.boot(kDb, "db");
    const std::string of_web = std::string("{uuid=\"") + kWeb + R"(",name="web"})";
    const std::string of_db = std::string("{uuid=\"") + kDb + R"(",name="db"})";
    const auto is = [&](const std::string &series, int value) {
        return has_line(metrics.text(), series + " " + std::to_string(value));
    };
    CHECK(is("tidemark_guest_element_problem" + of_web, 0));
    CHECK(is("tidemark_guest_settings_refused" + of_web, 0));
    bench.guests->set_element_problem(kWeb, "dram: 'lots' is no size");
    CHECK(is("tidemark_guest_element_problem" + of_web, 1));
    CHECK(is("tidemark_guest_settings_refused" + of_web, 0));
    CHECK(is("tidemark_guest_element_problem" + of_db, 0));
    bench.guests->set_element_problem(kWeb, "");
    CHECK(is("tidemark_guest_element_problem" + of_web, 0));

    db->refuse = "cold-age must be even";
    bench.source.group->policy.cold = 9;
    bench.guests->refresh_all();
    REQUIRE(bench.until([&] { return is("tidemark_guest_settings_refused" + of_db, 1); }));
    CHECK(is("tidemark_guest_element_problem" + of_db, 0));
}

TEST_CASE("names are cut between characters: half of one would make Prometheus refuse everything") {
    for (const std::size_t before : {126U, 127U}) {
        CAPTURE(before);
        GuestsBench bench;
        Metrics metrics(*bench.guests);
        // The three bytes of a euro sign stand across what a label may have.
        auto web =
            bench.boot(kWeb, std::string(before, 'a') + "\xE2\x82\xAC" + std::string(40, 'b'));
        const std::string text = metrics.text();
        // nlohmann's serializer is strict about UTF-8.
        CHECK_NOTHROW(json(text).dump());
        CHECK(text.find("name=\"" + std::string(before, 'a') + "\"") != std::string::npos);
    }
    CHECK(one_line(std::string(511, 'a') + "\xE2\x82\xAC") == std::string(511, 'a'));
}
