// SPDX-License-Identifier: GPL-2.0-or-later
//
// One QMP connection, seen from the client. The peer is a QEMU that may be slow, stopped or hostile:
// - a line has at most Limits::line_bytes, nests at most kDepthMost deep, and is JSON, or the session ends;
// - at most Limits::outstanding commands wait for an answer. One that misses its deadline is reported as
//   failed, but keeps its place until the answer comes: a QEMU that stands still is not sent more and more;
// - what the peer does not read is kept up to Limits::unsent_bytes.
// All callbacks come from the io_context, never from inside a call.
#pragma once

#include "base/result.h"

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace tidemark::daemon {

class QmpSession : public std::enable_shared_from_this<QmpSession> {
  public:
    using Socket = boost::asio::local::stream_protocol::socket;
    using Duration = std::chrono::milliseconds;
    // What "return" held. Errors: EINVAL with QEMU's sentence, ETIMEDOUT, EBUSY, ENOTCONN.
    using Reply = std::function<void(Result<nlohmann::json>)>;

    static constexpr int kDepthMost = 64;

    struct Limits {
        std::size_t line_bytes = 4U << 20;
        std::size_t outstanding = 32;
        std::size_t unsent_bytes = 8U << 20;
        Duration greeting{10000}; // for greeting and capabilities together
    };

    struct Handlers {
        std::function<void()> ready;
        // Name and data of an event.
        std::function<void(const std::string &, const nlohmann::json &)> event;
        // Once, at the end, whatever ended it; the session calls nothing afterwards.
        std::function<void(const Error &)> closed;
    };

    struct Counters {
        std::uint64_t commands = 0, failures = 0, timeouts = 0, malformed = 0, bytes_in = 0;
    };

    static std::shared_ptr<QmpSession> start(Socket socket, Limits limits, Handlers handlers);

    // Sent out of band if the peer can and out_of_band is set: then it does not wait for QEMU's main loop.
    void execute(const std::string &command, const nlohmann::json &arguments, Duration deadline,
                 Reply reply, bool out_of_band = false);
    // Commands that wait fail with ENOTCONN. Nothing happens if it is closed already.
    void close(const Error &why);

    bool is_ready() const { return state_ == State::ready; }
    bool out_of_band() const { return out_of_band_; }
    std::size_t outstanding() const { return pending_.size(); }
    const Counters &counters() const { return counters_; }

  private:
    using Clock = std::chrono::steady_clock;
    enum class State : std::uint8_t { greeting, capabilities, ready, closed };
    struct Pending {
        Reply reply; // empty: its deadline has passed
        Clock::time_point deadline;
    };

    QmpSession(Socket socket, Limits limits, Handlers handlers);
    void begin();
    void wait_for_input();
    void read_input();
    bool take_lines(std::size_t searched);
    void take_line(const char *begin, const char *end);
    void take_greeting(const nlohmann::json &message);
    void take_capabilities(const Result<nlohmann::json> &answer, bool with_oob);
    void take_answer(const nlohmann::json &message);
    void malformed(const std::string &what);
    Result<void> send(const std::string &command, const nlohmann::json &arguments,
                      Duration deadline, Reply reply, bool out_of_band);
    void write_some();
    void arm_timer();
    void expire();
    void post(Reply reply, Result<nlohmann::json> answer);

    Socket socket_;
    boost::asio::steady_timer timer_;
    const Limits limits_;
    Handlers handlers_;
    State state_ = State::greeting;
    bool out_of_band_ = false;
    std::string input_;
    std::string unsent_, sending_;
    std::map<std::uint64_t, Pending> pending_; // by id
    Clock::time_point armed_until_ = Clock::time_point::max();
    std::uint64_t last_id_ = 0;
    Counters counters_;
};

} // namespace tidemark::daemon
