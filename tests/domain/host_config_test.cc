// SPDX-License-Identifier: GPL-2.0-or-later
#include "support.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <unistd.h>

using namespace tidemark::domain;
using Catch::Matchers::ContainsSubstring;

namespace {

std::string problem(const std::string &text) {
    const auto config = parse_config(text, "t.toml");
    INFO(text);
    REQUIRE(!config);
    return config.error().sentence;
}

} // namespace

TEST_CASE("nothing has to be said") {
    const auto config = parse_config("", "t.toml");
    REQUIRE(config);
    CHECK(config->api_socket() == "/run/tidemark/api.sock");
    CHECK(config->vm_socket() == "/run/tidemark/vm.sock");
    CHECK(config->domain_file("u") == "/run/tidemark/domains/u.json");
    CHECK(config->database() == "/var/lib/tidemark/tidemark.db");
    CHECK(config->when_down == WhenDown::start);
    CHECK(config->dram == Amount::percent(75));
    CHECK(config->policy == Policy{});
    CHECK(config->priority == 100);
    CHECK(config->tiers.empty());
}

TEST_CASE("everything can be said") {
    const auto config = parse_config(R"(
[paths]
run = "/tmp/r"
state = "/tmp/s"
[daemon]
when_down = "refuse"
api_group = "adm"
log_level = "debug"
[api]
tcp = "[::1]:9443"
cert = "/c"
key = "/k"
client_ca = "/a"
[libvirt]
uri = "test:///default"
[host]
dram = "8GiB"
[[tier]]
name = "fast"
class = "nvme"
path = "/fast"
capacity = 68719476736
write_budget = "10GiB"
[[tier]]
name = "big"
class = "qlc"
path = "/big"
[[rule]]
match_name = "web-*"
match_label = "prod*"
service = "web"
[defaults]
dram = "50%"
floor = "1GiB"
priority = 7
eviction = "fifo"
prefetch = false
window = 20
cold = 60
slowdown = 0
learn = true
reuse = true
learn_writes = false
)",
                                     "t.toml");
    REQUIRE(config);
    CHECK(config->run_dir == "/tmp/r");
    CHECK(config->state_dir == "/tmp/s");
    CHECK(config->when_down == WhenDown::refuse);
    CHECK(config->api_group == "adm");
    CHECK(config->log_level == LogLevel::debug);
    CHECK(config->tcp == "[::1]:9443");
    CHECK(config->client_ca == "/a");
    CHECK(config->libvirt_uri == "test:///default");
    CHECK(config->dram == Amount::bytes(8ULL << 30));
    REQUIRE(config->tiers.size() == 2);
    CHECK(config->find_tier("fast")->capacity == 64ULL << 30);
    CHECK(config->find_tier("fast")->write_budget == 10ULL << 30);
    CHECK(config->find_tier("big")->tier_class == TierClass::qlc);
    CHECK(!config->find_tier("big")->capacity);
    CHECK(config->find_tier("none") == nullptr);
    CHECK(config->default_dram == Amount::percent(50));
    CHECK(config->default_floor == Amount::bytes(1ULL << 30));
    CHECK(config->priority == 7);
    CHECK(config->policy == Policy{Eviction::fifo, false, 20U, 60U, 0U, true, true, false});
    REQUIRE(config->rules.size() == 1);
    CHECK(config->rules[0].matches("web-1", "", {"x", "production"}));
    CHECK(!config->rules[0].matches("web-1", "", {}));
    CHECK(!config->rules[0].matches("db-1", "", {"production"}));
}

TEST_CASE("which libvirt is followed") {
    CHECK(parse_config("", "t.toml")->libvirt_uri == "qemu:///system");
    CHECK(parse_config("[libvirt]\nuri = ''\n", "t.toml")->libvirt_uri.empty());
    CHECK(problem("[libvirt]\nuri = 5\n") ==
          "t.toml line 2: [libvirt] uri is '5'; it must be a text, in quotes");
}

TEST_CASE("each mistake has its line, its key, its value and what is accepted") {
    CHECK(problem("\n[daemon]\nwhen_down = 'maybe'\n") ==
          "t.toml line 3: [daemon] when_down is 'maybe'; it must be start or refuse");
    CHECK(problem("[daemon]\nwhen_dwon = 'start'\n") ==
          "t.toml line 2: [daemon] has no key 'when_dwon'; it has when_down, api_group and "
          "log_level");
    CHECK(
        problem("[deamon]\n").starts_with("t.toml line 1: the file has no key 'deamon'; it has "));
    CHECK(problem("[host]\ndram = true\n") ==
          "t.toml line 2: [host] dram is 'true'; it must be \"1%\" to \"100%\", or a size such as "
          "\"4GiB\"");
    CHECK_THAT(problem("[host]\ndram = '0%'\n"),
               ContainsSubstring("t.toml line 2: [host] dram is '0%'"));
    CHECK_THAT(problem("[host]\ndram = 0\n"), ContainsSubstring("more than 0"));
    CHECK_THAT(problem("[host]\ndram = -5\n"), ContainsSubstring("is '-5'"));
    CHECK_THAT(problem("[paths]\nrun = 'relative'\n"), ContainsSubstring("an absolute path"));
    CHECK_THAT(problem("[paths]\nrun = '/" + std::string(100, 'x') + "'\n"),
               ContainsSubstring("at most 90"));
    CHECK_THAT(problem("[[tier]]\nname = 'a'\n"),
               ContainsSubstring("line 1: [[tier]] has no class"));
    CHECK_THAT(problem("[tier]\nname = 'a'\n"), ContainsSubstring("each [[tier]]"));
    CHECK_THAT(problem("tier = [1]\n"), ContainsSubstring("tier has '1' in it"));
    CHECK_THAT(problem("[[daemon]]\n"), ContainsSubstring("it must be a table, [daemon]"));
    CHECK_THAT(problem("[[rule]]\nservice = 'x'\n"), ContainsSubstring("match_name, match_title"));
    CHECK_THAT(problem("[[rule]]\nmatch_name = 'x'\n"), ContainsSubstring("has no service"));
    CHECK_THAT(problem("[defaults]\nprefetch = 'on'\n"), ContainsSubstring("true or false"));
    CHECK_THAT(problem("[defaults]\ncold = 0\n"), ContainsSubstring("from 1 to 172800"));
    CHECK_THAT(problem("[api]\ntcp = 'localhost'\n"), ContainsSubstring("an address and a port"));
    CHECK_THAT(problem("[api]\ntcp = '0.0.0.0:1'\ncert = '/c'\nkey = '/k'\n"),
               ContainsSubstring("has no client_ca"));
    CHECK_THAT(problem("[daemon\n"), ContainsSubstring("t.toml line 1: "));
    CHECK_THAT(problem("a = 1\na = 2\n"), ContainsSubstring("t.toml line 2: "));
}

TEST_CASE("tiers differ in name and path, and are not too many") {
    const std::string one = "[[tier]]\nname='a'\nclass='nvme'\npath='/a'\n";
    CHECK_THAT(problem(one + one), ContainsSubstring("name is 'a', as that of another"));
    CHECK_THAT(problem(one + "[[tier]]\nname='b'\nclass='nvme'\npath='/a'\n"),
               ContainsSubstring("path is '/a', as that of another"));
    CHECK_THAT(problem(one + "capacity='1MiB'\n"), ContainsSubstring("at least 64MiB"));
    std::string many;
    for (int i = 0; i < 17; ++i) {
        const std::string n = std::to_string(i);
        many += "[[tier]]\nname='t" + n + "'\nclass='nvme'\npath='/" + n + "'\n";
    }
    CHECK_THAT(problem(many), ContainsSubstring("there can be at most 16"));
}

TEST_CASE("all mistakes of a file are reported at once") {
    CHECK_THAT(problem("[daemon]\nwhen_down=1\n[host]\ndram='x'\n"),
               ContainsSubstring("line 2: ") && ContainsSubstring("; t.toml line 4: "));
}

TEST_CASE("a file that is named must be there, the default one need not") {
    const auto config = load_config("/nonexistent/t.toml");
    REQUIRE(!config);
    CHECK(config.error().code == ENOENT);
    CHECK_THAT(config.error().sentence, ContainsSubstring("/nonexistent/t.toml cannot be opened"));

    std::array<char, 32> path{"/tmp/tidemark-config-XXXXXX"};
    const int fd = ::mkstemp(path.data());
    REQUIRE(fd >= 0);
    ::close(fd);
    std::ofstream(path.data()) << "[paths]\nrun = \"/a\"\n";
    CHECK(load_config(path.data())->run_dir == "/a");
    ::setenv("TIDEMARK_RUN", "/b", 1);
    CHECK(load_config(path.data())->run_dir == "/b");
    ::unsetenv("TIDEMARK_RUN");
    std::ofstream(path.data()) << std::string((1U << 20) + 1, '#');
    CHECK(load_config(path.data()).error().code == EFBIG);
    ::unlink(path.data());
    CHECK(!load_config("/"));
}
