// SPDX-License-Identifier: GPL-2.0-or-later
//
// From a request to its handler, and what is said when there is none.
#include "daemon/json_body.h"
#include "daemon/problem.h"
#include "daemon/router.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

using namespace tidemark;
using namespace tidemark::daemon;
using Catch::Matchers::ContainsSubstring;

namespace {

HttpResponse ask(const Router &router, const std::string &method, const std::string &target) {
    HttpRequest request;
    request.method = method;
    request.path = target;
    std::optional<HttpResponse> answer;
    int answers = 0;
    router.handle(request, HttpReply([&](HttpResponse response) {
                      ++answers;
                      answer = std::move(response);
                  }));
    REQUIRE(answers == 1);
    return *answer;
}

// Answers with what it was given.
HttpResponse echo(const HttpRequest &request) {
    HttpResponse response;
    for (const std::string &parameter : request.parameters) {
        response.body += "[" + parameter + "]";
    }
    for (const auto &[name, value] : request.query) {
        response.body += "(" + name + "=" + value + ")";
    }
    return response;
}

HttpRequest with_body(std::string body, const std::string &type = "application/json") {
    HttpRequest request;
    request.body = std::move(body);
    request.headers["content-type"] = type;
    return request;
}

} // namespace

TEST_CASE("a path finds its handler, with its parts and its query decoded") {
    Router router;
    router.add_plain("GET", "/", echo);
    router.add_plain("GET", "/groups/{id}/members/{vm}", echo);
    CHECK(ask(router, "GET", "/").status == 200);
    CHECK(ask(router, "GET", "/groups/a%20b/members/%C3%A9?x=1+2&y&%41=%26").body ==
          "[a b][\xc3\xa9](A=&)(x=1 2)(y=)");
    CHECK(ask(router, "HEAD", "/groups/a/members/b").status == 200);
    for (const char *path : {"/groups", "/groups/a/members", "/groups//members/b",
                             "/groups/a/members/b/", "/Groups/a/members/b", "//"}) {
        CHECK(ask(router, "GET", path).status == 404);
    }
    for (const char *path : {"", "groups", "/groups/%/members/b", "/groups/%4/members/b",
                             "/groups/%00/members/b", "/?a=%zz", "*"}) {
        CHECK(ask(router, "GET", path).status == 400);
    }
}

TEST_CASE("a method that a path does not have is refused, and those it has are named") {
    Router router;
    router.add_plain("GET", "/a/{b}", echo);
    router.add_plain("DELETE", "/a/{b}", echo);
    const HttpResponse refused = ask(router, "PUT", "/a/b");
    CHECK(refused.status == 405);
    REQUIRE(refused.headers.size() == 1);
    CHECK(refused.headers[0] == std::pair<std::string, std::string>("Allow", "GET, HEAD, DELETE"));
    CHECK(ask(router, "PUT", "/a").status == 404);
}

TEST_CASE("a handler that forgets its answer, gives two or throws, gives one") {
    Router router;
    router.add("GET", "/none", [](const HttpRequest &, const HttpReply &) {});
    router.add("GET", "/two", [](const HttpRequest &, const HttpReply &reply) {
        reply({201, {}, {}, {}});
        reply({202, {}, {}, {}});
    });
    router.add("GET", "/throws", [](const HttpRequest &, const HttpReply &) {
        throw std::runtime_error("a mistake");
    });
    CHECK(ask(router, "GET", "/none").status == 500);
    CHECK(ask(router, "GET", "/throws").status == 500);
    CHECK(ask(router, "GET", "/two").status == 201);
}

TEST_CASE("a problem is JSON with a sentence, whatever is quoted in it") {
    const HttpResponse response = problem(Error{ENOENT, "there is no \xff\"\n"});
    CHECK(response.status == 404);
    CHECK(response.content_type == "application/problem+json");
    const auto json = nlohmann::json::parse(response.body);
    CHECK(json["status"] == 404);
    CHECK(json["title"] == "Not Found");
    CHECK_THAT(json["detail"].get<std::string>(), ContainsSubstring("there is no"));
}

TEST_CASE("what one may not do is forbidden, and no fault of ours") {
    CHECK(status_of(Error{EPERM, ""}) == 403);
    CHECK(status_of(Error{EACCES, ""}) == 403);
    CHECK(status_of(Error{ENOSPC, ""}) == 507);
    CHECK(status_of(Error{EPROTO, ""}) == 502);
    CHECK(status_of(Error{EIO, ""}) == 500);
}

TEST_CASE("a body is an object, of bounded depth, and says that it is JSON") {
    CHECK(object_of(with_body(R"({"a":[1,{"b":"]]]["}]})")));
    CHECK(object_of(with_body("{}", "application/json; charset=utf-8")));
    CHECK(object_of(with_body("{}", "Application/JSON ")));
    const auto status = [](const HttpRequest &request) {
        return object_of(request).error().status;
    };
    CHECK(status(with_body("{}", "text/plain")) == 415);
    CHECK(status(with_body("")) == 400);
    CHECK(status(with_body("{\"a\":1")) == 400);
    CHECK(status(with_body("{\"a\":\"\xff\"}")) == 400);
    CHECK(status(with_body("[]")) == 422);
    const auto nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    CHECK(parse_json(nested(kJsonDepthMost)));
    CHECK_FALSE(parse_json(nested(kJsonDepthMost + 1)));
    CHECK_FALSE(parse_json(std::string(1U << 20, '[')));
    CHECK(object_or_nothing(HttpRequest()));
}

TEST_CASE("a change is tied to what it is based on") {
    HttpRequest request;
    CHECK_FALSE(precondition(request, "\"7\"", false));
    CHECK(precondition(request, "\"7\"", true)->status == 428);
    request.headers["if-match"] = "\"6\"";
    CHECK(precondition(request, "\"7\"", false)->status == 412);
    for (const char *match : {"\"7\"", "*", "\"6\", \"7\""}) {
        request.headers["if-match"] = match;
        CHECK_FALSE(precondition(request, "\"7\"", true));
    }
}

TEST_CASE("a page has 1 to 1000 items") {
    const auto page = [](const std::string &limit) {
        HttpRequest request;
        request.query["limit"] = limit;
        return page_of(request);
    };
    CHECK(page("1")->limit == 1);
    CHECK(page("1000")->limit == 1000);
    CHECK(page_of(HttpRequest())->limit == Page::kDefault);
    for (const char *limit : {"0", "1001", "", "-1", "1x", "99999999999999999999"}) {
        CHECK(page(limit).error().status == 400);
    }
}
