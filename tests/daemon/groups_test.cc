// SPDX-License-Identifier: GPL-2.0-or-later
//
// Groups and who is in them: what an operator says goes before what a domain says, what formed by itself goes by
// itself, and a change that the store refuses has not happened.
#include "daemon/groups.h"
#include "daemon/sqlite_store.h"
#include "domain/group_id.h"
#include "failing_store.h"
#include "support/temp_dir.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cerrno>

using namespace tidemark;
using namespace tidemark::daemon;
using Catch::Matchers::ContainsSubstring;
using tidemark::daemon::testing::FailingStore;

namespace {

using Strings = std::vector<std::string>;

const std::string kOne = "11111111-2222-4333-8444-000000000001";
const std::string kTwo = "11111111-2222-4333-8444-000000000002";

struct Fixture {
    Fixture() { reopen(); }

    // As after a restart.
    void reopen() {
        groups.reset();
        failing.reset();
        store.reset();
        auto opened = open_sqlite_store(folder / "groups.db");
        REQUIRE(opened);
        store = std::move(*opened);
        failing = std::make_unique<FailingStore>(*store);
        auto all = Groups::open(*failing);
        REQUIRE(all);
        groups = std::move(*all);
        groups->listen([this](const Strings &guests) { heard = guests; });
    }

    AffinityGroup make(const std::string &name, const Strings &members = {}) {
        GroupRequest request;
        request.name = name;
        request.members = members;
        const auto made = groups->create(request);
        REQUIRE(made);
        return *made;
    }

    static DomainGroup named(const std::string &name) {
        return {domain::group_id(name), name, GroupOrigin::domain};
    }

    test::TempDir folder;
    std::unique_ptr<Store> store;
    std::unique_ptr<FailingStore> failing;
    std::unique_ptr<Groups> groups;
    Strings heard;
};

} // namespace

TEST_CASE("a group has the UUID that a domain finds it by, and is there after a restart") {
    Fixture host;
    GroupRequest request;
    request.name = "web";
    request.priority = 300;
    request.policy.cold = 60;
    request.policy.eviction = domain::Eviction::fifo;
    request.members = Strings{"11111111-2222-4333-8444-00000000000A"};
    const auto made = host.groups->create(request);
    REQUIRE(made);
    CHECK(made->id == domain::group_id("web"));
    CHECK(host.heard == Strings{"11111111-2222-4333-8444-00000000000a"});
    host.reopen();
    REQUIRE(host.groups->find(made->id));
    CHECK(*host.groups->find(made->id) == *made);
    CHECK(host.groups->members(made->id) == Strings{"11111111-2222-4333-8444-00000000000a"});
}

TEST_CASE("what is wrong is refused with a sentence and changes nothing") {
    Fixture host;
    host.make("web");
    const auto refused = [&](const GroupRequest &request, int code, const char *why) {
        const auto made = host.groups->create(request);
        REQUIRE_FALSE(made);
        CHECK(made.error().code == code);
        CHECK_THAT(made.error().sentence, ContainsSubstring(why));
    };
    refused({"", "web", {}, {}, {}}, EEXIST, "already");
    refused({"", "", {}, {}, {}}, EINVAL, "name");
    refused({"", "service:web", {}, {}, {}}, EINVAL, "name");
    refused({"", kOne, {}, {}, {}}, EINVAL, "UUID");
    refused({"xyz", "b", {}, {}, {}}, EINVAL, "groupID");
    refused({"", "b", 1001, {}, {}}, EINVAL, "priority");
    refused({"", "b", {}, {}, Strings{"nobody"}}, EINVAL, "nobody");
    CHECK(host.groups->size() == 1);
    CHECK(host.groups->change(kOne, {}).error().code == ENOENT);
    CHECK(host.groups->change(domain::group_id("web"), {"", "a b", {}, {}, {}}).error().code ==
          EINVAL);
    CHECK(host.groups->add_member(kOne, kOne).error().code == ENOENT);
    CHECK(host.groups->remove_member(domain::group_id("web"), kOne).error().code == ENOENT);
}

TEST_CASE("a revision is never the same twice, not even for a group that was made anew") {
    Fixture host;
    const auto first = host.make("web");
    REQUIRE(host.groups->add_member(first.id, kOne));
    const auto joined = host.groups->find(first.id)->revision;
    CHECK(joined > first.revision);
    REQUIRE(host.groups->remove(first.id));
    host.reopen();
    CHECK(host.make("web").revision > joined);
}

TEST_CASE("a group forms with the first member that a domain names and goes with the last") {
    Fixture host;
    REQUIRE(host.groups->set_domain_group(kOne, Fixture::named("blue")));
    const auto id = domain::group_id("blue");
    REQUIRE(host.groups->find(id));
    CHECK(host.groups->find(id)->origin == GroupOrigin::domain);
    REQUIRE(host.groups->set_domain_group(kTwo, Fixture::named("blue")));
    CHECK(host.groups->members(id) == Strings{kOne, kTwo});
    REQUIRE(host.groups->set_domain_group(kOne, std::nullopt));
    host.reopen();
    CHECK(host.groups->members(id) == Strings{kTwo});
    REQUIRE(host.groups->set_domain_group(kTwo, Fixture::named("red")));
    CHECK_FALSE(host.groups->find(id));
    CHECK(host.groups->find_by_name("red"));
    REQUIRE(host.groups->set_domain_group(kTwo, std::nullopt));
    CHECK(host.groups->size() == 0);
}

TEST_CASE("an operator's group wins, and the domain's is back when it is taken away") {
    Fixture host;
    const auto ours = host.make("ours", {kOne});
    REQUIRE(host.groups->set_domain_group(kOne, Fixture::named("blue")));
    CHECK(host.groups->group_of(kOne)->id == ours.id);
    CHECK(host.groups->size() == 1);

    SECTION("by taking the member out") {
        REQUIRE(host.groups->remove_member(ours.id, kOne));
        CHECK(host.groups->find(ours.id));
    }
    SECTION("by deleting the group, also after a restart") {
        host.reopen();
        REQUIRE(host.groups->remove(ours.id));
        CHECK(host.heard == Strings{kOne});
        CHECK_FALSE(host.groups->find(ours.id));
    }
    REQUIRE(host.groups->group_of(kOne));
    CHECK(host.groups->group_of(kOne)->name == "blue");
    CHECK(host.groups->origin_of(kOne) == GroupOrigin::domain);
}

TEST_CASE("who changes a group that formed by itself keeps it") {
    Fixture host;
    REQUIRE(host.groups->set_domain_group(kOne, Fixture::named("blue")));
    GroupRequest request;
    request.policy.window = 30;
    REQUIRE(host.groups->change(domain::group_id("blue"), request));
    CHECK(host.heard == Strings{kOne});
    REQUIRE(host.groups->set_domain_group(kOne, std::nullopt));
    REQUIRE(host.groups->find_by_name("blue"));
    CHECK(host.groups->find_by_name("blue")->policy.window == 30);
    CHECK(host.groups->members(domain::group_id("blue")).empty());
}

TEST_CASE("a group that is renamed is found by both names") {
    Fixture host;
    const auto web = host.make("web", {kOne}), db = host.make("db");
    const auto rename = [&](const AffinityGroup &group, const char *to) {
        return host.groups->change(group.id, {"", to, {}, {}, {}});
    };
    const auto renamed = rename(web, "front");
    REQUIRE(renamed);
    CHECK(renamed->name == "front");
    CHECK(renamed->id == web.id);
    CHECK(host.heard == Strings{kOne});
    for (const char *name : {"web", "front"}) {
        REQUIRE(host.groups->set_domain_group(kTwo, Fixture::named(name)));
        CHECK(host.groups->members(web.id) == Strings{kOne, kTwo});
        CHECK(host.groups->size() == 2);
    }
    host.reopen();
    CHECK(host.groups->find_by_name("front")->id == web.id);
    CHECK(host.groups->find_by_name("web") == nullptr);

    // Names that others have, or had: a domain that says one must not end up in two groups.
    CHECK(rename(*renamed, "db").error().code == EEXIST);
    CHECK(rename(db, "front").error().code == EEXIST);
    CHECK(rename(db, "web").error().code == EEXIST);
    CHECK(rename(db, "service:db").error().code == EINVAL);
    CHECK(rename(*renamed, "web")->name == "web");
}

TEST_CASE("a domain finds a group by its name, whatever UUID an operator gave it") {
    Fixture host;
    const std::string id = "99999999-0000-4000-8000-000000000001";
    REQUIRE(host.groups->create({id, "web", {}, {}, {}}));
    REQUIRE(host.groups->set_domain_group(kOne, Fixture::named("web")));
    CHECK(host.groups->members(id) == Strings{kOne});
}

TEST_CASE("a group forms although its name is taken by now") {
    Fixture host;
    const auto ops = host.make("ops", {kOne});
    REQUIRE(host.groups->set_domain_group(kOne, Fixture::named("web")));
    const std::string id = "99999999-0000-4000-8000-000000000001";
    REQUIRE(host.groups->create({id, "web", {}, {}, {}}));
    REQUIRE(host.groups->remove_member(ops.id, kOne));
    CHECK(host.groups->group_of(kOne)->name == domain::group_id("web"));
}

TEST_CASE("deleting a group leaves its members without one") {
    Fixture host;
    REQUIRE(host.groups->set_domain_group(kOne, Fixture::named("blue")));
    REQUIRE(host.groups->add_member(domain::group_id("blue"), kTwo));
    REQUIRE(host.groups->remove(domain::group_id("blue")));
    CHECK(host.heard == Strings{kOne, kTwo});
    CHECK_FALSE(host.groups->group_of(kOne));
    CHECK_FALSE(host.groups->group_of(kTwo));
    host.reopen();
    CHECK(host.groups->size() == 0);
    CHECK_FALSE(host.groups->origin_of(kOne));
}

TEST_CASE("members that are given replace those that are there") {
    Fixture host;
    const auto group = host.make("web", {kOne});
    GroupRequest request;
    request.members = Strings{kTwo};
    REQUIRE(host.groups->change(group.id, request));
    CHECK(host.groups->members(group.id) == Strings{kTwo});
    CHECK(host.heard == Strings{kOne, kTwo});
    REQUIRE(host.groups->change(group.id, {}));
    CHECK(host.groups->members(group.id) == Strings{kTwo});
}

TEST_CASE("what the store refuses has not happened") {
    Fixture host;
    const auto group = host.make("web", {kOne});
    host.heard.clear();
    host.failing->fails = true;
    GroupRequest request;
    request.name = "more";
    CHECK(host.groups->create(request).error().code == ENOSPC);
    CHECK_FALSE(host.groups->remove(group.id));
    CHECK_FALSE(host.groups->add_member(group.id, kTwo));
    CHECK_FALSE(host.groups->set_domain_group(kTwo, Fixture::named("blue")));
    CHECK(host.groups->size() == 1);
    CHECK(*host.groups->find(group.id) == group);
    CHECK(host.groups->members(group.id) == Strings{kOne});
    CHECK(host.heard.empty());
}
