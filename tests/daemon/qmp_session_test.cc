// SPDX-License-Identifier: GPL-2.0-or-later
//
// One QMP connection against peers of all sorts.
#include "daemon/qmp_session.h"
#include "fake_qemu.h"

#include <catch2/catch_test_macros.hpp>
#include <cerrno>
#include <optional>
#include <random>

using namespace tidemark;
using namespace tidemark::daemon;
using namespace tidemark::daemon::testing;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kLong{60000};

// A session and its peer, joined by a socket pair.
struct Pair {
    explicit Pair(QmpSession::Limits limits = {}) {
        Socket ours(io), theirs(io);
        boost::asio::local::connect_pair(ours, theirs);
        qemu = FakeQemu::on(std::move(theirs));
        QmpSession::Handlers handlers;
        handlers.ready = [this] { ready = true; };
        handlers.event = [this](const std::string &name, const json &data) {
            events.emplace_back(name, data);
        };
        handlers.closed = [this](const Error &why) {
            ++closed;
            reason = why;
        };
        session = QmpSession::start(std::move(ours), limits, std::move(handlers));
    }
    ~Pair() {
        session->close(Error{0, "over"});
        qemu->close();
        io.restart();
        io.run(); // ends, so nothing is left that keeps one of them
    }
    void begin(bool oob = true) {
        qemu->start(oob);
        REQUIRE(run_until(io, [&] { return ready; }));
    }
    // The answer, when it is there.
    Result<json> ask(const std::string &command, const json &arguments = json::object(),
                     milliseconds deadline = kLong) {
        std::optional<Result<json>> got;
        session->execute(command, arguments, deadline,
                         [&](Result<json> answer) { got = std::move(answer); });
        REQUIRE(!got); // never from inside the call
        REQUIRE(run_until(io, [&] { return got.has_value(); }));
        return *got;
    }
    void expect_closed(const std::string &because) {
        REQUIRE(run_until(io, [&] { return closed > 0; }));
        CHECK(closed == 1);
        INFO(reason.sentence);
        CHECK(reason.sentence.find(because) != std::string::npos);
    }

    boost::asio::io_context io;
    std::shared_ptr<FakeQemu> qemu;
    std::shared_ptr<QmpSession> session;
    bool ready = false;
    int closed = 0;
    Error reason;
    std::vector<std::pair<std::string, json>> events;
};

} // namespace

TEST_CASE("a session takes the out-of-band capability where it is offered") {
    Pair with, without;
    with.begin(true);
    without.begin(false);
    CHECK(with.session->out_of_band());
    CHECK(with.qemu->received()[0]["arguments"] == json{{"enable", {"oob"}}});
    CHECK_FALSE(without.session->out_of_band());
    CHECK_FALSE(without.qemu->received()[0].contains("arguments"));

    for (Pair *pair : {&with, &without}) {
        pair->qemu->answer("query-tiered-memory", json::array());
        bool answered = false;
        pair->session->execute(
            "query-tiered-memory", json::object(), kLong,
            [&](const Result<json> &answer) { answered = answer.has_value(); }, true);
        REQUIRE(run_until(pair->io, [&] { return answered; }));
        CHECK(pair->qemu->received().back().contains("exec-oob") == (pair == &with));
    }
}

TEST_CASE("commands are answered with what QEMU returned, or with its sentence") {
    Pair pair;
    pair.begin();
    pair.qemu->answer("query-name", {{"name", "web-1"}});
    pair.qemu->answer("bad", [](const json &) { return FakeQemu::error("It is bad"); });
    CHECK(pair.ask("query-name")->at("name") == "web-1");
    const Result<json> refused = pair.ask("bad", {{"x", 1}});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == EINVAL);
    CHECK(refused.error().sentence == "It is bad");
    CHECK(pair.qemu->received().back()["arguments"] == json{{"x", 1}});
}

TEST_CASE("answers in another order reach who asked") {
    Pair pair;
    pair.begin();
    for (const char *name : {"first", "second"})
        pair.qemu->answer(name, [](const json &) { return json(); });
    std::string first, second;
    pair.session->execute("first", json::object(), kLong,
                          [&](const Result<json> &a) { first = a.value().get<std::string>(); });
    pair.session->execute("second", json::object(), kLong,
                          [&](const Result<json> &a) { second = a.value().get<std::string>(); });
    REQUIRE(run_until(pair.io, [&] { return pair.qemu->received("second").size() == 1; }));
    pair.qemu->send({{"return", "2"}, {"id", pair.qemu->received("second")[0]["id"]}});
    pair.qemu->send({{"return", "1"}, {"id", pair.qemu->received("first")[0]["id"]}});
    REQUIRE(run_until(pair.io, [&] { return !first.empty() && !second.empty(); }));
    CHECK(first == "1");
    CHECK(second == "2");
}

TEST_CASE("a missed deadline is reported; the late answer does no harm") {
    Pair pair;
    pair.begin();
    pair.qemu->answer("slow", [](const json &) { return json(); });
    const Result<json> late = pair.ask("slow", json::object(), milliseconds(5));
    REQUIRE_FALSE(late);
    CHECK(late.error().code == ETIMEDOUT);
    CHECK(pair.session->outstanding() == 1);
    pair.qemu->send({{"return", 1}, {"id", pair.qemu->received("slow")[0]["id"]}});
    pair.qemu->answer("next", 2);
    CHECK(*pair.ask("next") == 2);
    CHECK(pair.session->outstanding() == 0);
    CHECK(pair.session->counters().timeouts == 1);
}

TEST_CASE("a QEMU that stands still is not sent more and more") {
    QmpSession::Limits limits;
    limits.outstanding = 4;
    Pair pair(limits);
    pair.begin();
    pair.qemu->answer("stuck", [](const json &) { return json(); });
    for (int i = 0; i < 4; ++i)
        CHECK(pair.ask("stuck", json::object(), milliseconds(1)).error().code == ETIMEDOUT);
    CHECK(pair.ask("stuck").error().code == EBUSY);
    CHECK(pair.qemu->received("stuck").size() == 4);
    CHECK(pair.closed == 0);
}

TEST_CASE("what the peer does not read is bounded") {
    QmpSession::Limits limits;
    limits.unsent_bytes = 1 << 20;
    Pair pair(limits);
    // Greets and takes the capabilities by hand, and then reads nothing any more.
    pair.qemu->send({{"QMP", {{"capabilities", json::array()}}}});
    pair.qemu->send({{"return", json::object()}, {"id", 1}});
    REQUIRE(run_until(pair.io, [&] { return pair.ready; }));
    int busy = 0;
    for (int i = 0; i < 16; ++i)
        pair.session->execute(
            "x", {{"big", std::string(200000, 'x')}}, kLong,
            [&](const Result<json> &answer) { busy += answer.error().code == EBUSY ? 1 : 0; });
    REQUIRE(run_until(pair.io, [&] { return busy > 0; }));
    CHECK(pair.session->outstanding() < 8);
}

TEST_CASE("lines come whole, in pieces, or many at once") {
    Pair pair;
    pair.begin();
    const std::string event = R"({"event": "E", "data": {"n": "a\"]}\\"}})"
                              "\r\n";
    for (const char c : event) {
        pair.qemu->send_raw(std::string(1, c));
        pair.io.restart();
        pair.io.poll();
    }
    pair.qemu->send_raw(event + "\r\n\n" + event + event);
    REQUIRE(run_until(pair.io, [&] { return pair.events.size() == 4; }));
    CHECK(pair.events[0].second == json{{"n", "a\"]}\\"}});
    CHECK(pair.closed == 0);
}

TEST_CASE("a line that never ends is not kept") {
    QmpSession::Limits limits;
    limits.line_bytes = 100000;
    Pair pair(limits);
    pair.begin();
    pair.qemu->send_raw("{\"event\": \"" + std::string(99000, 'x'));
    pair.io.restart();
    pair.io.poll();
    CHECK(pair.closed == 0);
    pair.qemu->send_raw(std::string(2000, 'x'));
    pair.expect_closed("more than 100000 bytes");
    CHECK(pair.session->counters().malformed == 1);
}

TEST_CASE("a malformed peer is turned away with a sentence") {
    const std::vector<std::pair<std::string, std::string>> lines = {
        {"hello", "not a JSON object"},
        {"[1]", "not a JSON object"},
        {"{\"a\": \"\xff\"}", "not a JSON object"},
        {std::string(100, '[') + std::string(100, ']'), "nests more than"},
        {R"({"event": 5})", "event without a name"},
        {R"({"return": {}})", "neither an event nor the answer"},
        {R"({"return": {}, "id": "x"})", "neither an event nor the answer"},
        {R"({"return": {}, "error": {}, "id": 1})", "neither an event nor the answer"},
        {R"({"return": {}, "id": 77})", "was not sent"},
        {R"({"return": {}, "id": -1})", "neither an event nor the answer"},
    };
    for (const auto &[line, sentence] : lines) {
        INFO(line);
        Pair pair;
        pair.begin();
        int failed = 0;
        pair.session->execute("x", json::object(), kLong,
                              [&](const Result<json> &answer) { failed = answer.error().code; });
        pair.qemu->answer("x", [](const json &) { return json(); });
        REQUIRE(run_until(pair.io, [&] { return pair.qemu->received("x").size() == 1; }));
        pair.qemu->send_raw(line + "\n");
        pair.expect_closed(sentence);
        REQUIRE(run_until(pair.io, [&] { return failed != 0; }));
        CHECK(failed == ENOTCONN);
        CHECK(pair.ask("y").error().code == ENOTCONN);
    }
}

TEST_CASE("what is no QMP server is turned away") {
    SECTION("another greeting") {
        Pair pair;
        pair.qemu->send_raw("{\"hello\": 1}\n");
        pair.expect_closed("no QMP greeting");
    }
    SECTION("silence") {
        QmpSession::Limits limits;
        limits.greeting = milliseconds(20);
        Pair pair(limits);
        pair.expect_closed("said nothing");
    }
    SECTION("capabilities refused") {
        Pair pair;
        pair.qemu->answer("qmp_capabilities", [](const json &) { return FakeQemu::error("no"); });
        pair.qemu->start();
        pair.expect_closed("refused qmp_capabilities: no");
    }
    SECTION("capabilities not answered") {
        QmpSession::Limits limits;
        limits.greeting = milliseconds(20);
        Pair pair(limits);
        pair.qemu->answer("qmp_capabilities", [](const json &) { return json(); });
        pair.qemu->start();
        pair.expect_closed("not enough");
    }
}

TEST_CASE("a peer that goes away in mid-command fails the command, once") {
    Pair pair;
    pair.begin();
    pair.qemu->answer("x", [](const json &) { return json(); });
    std::vector<int> codes;
    for (int i = 0; i < 3; ++i)
        pair.session->execute("x", json::object(), kLong, [&](const Result<json> &answer) {
            codes.push_back(answer.error().code);
        });
    REQUIRE(run_until(pair.io, [&] { return pair.qemu->received("x").size() == 3; }));
    pair.qemu->send_raw("{\"return\": {\"half a line");
    pair.qemu->close();
    pair.expect_closed("closed the connection");
    CHECK(codes == std::vector<int>{ENOTCONN, ENOTCONN, ENOTCONN});
}

TEST_CASE("a session may be closed from its own callbacks") {
    Pair pair;
    pair.begin();
    pair.qemu->answer("x", 1);
    bool answered = false;
    pair.session->execute("x", json::object(), kLong, [&](const Result<json> &) {
        answered = true;
        pair.session->close(Error{0, "enough"});
        pair.session->close(Error{0, "twice"});
    });
    pair.expect_closed("enough");
    CHECK(answered);
}

TEST_CASE("no bytes crash a session") {
    const std::string good = R"({"event": "E", "data": {"a": [1, 2.5e3, "x", null, true]}})"
                             "\n";
    for (unsigned seed = 0; seed < 300; ++seed) {
        INFO("seed " << seed);
        std::mt19937 random(seed);
        Pair pair;
        pair.begin();
        std::string bytes;
        for (int i = 0; i < 20; ++i)
            bytes += good;
        for (unsigned i = 0, changes = random() % 8; i < changes; ++i)
            bytes[random() % bytes.size()] = static_cast<char>(random());
        pair.qemu->send_raw(bytes);
        pair.qemu->close();
        REQUIRE(run_until(pair.io, [&] { return pair.closed == 1; }));
        CHECK(pair.events.size() <= 20);
    }
}
