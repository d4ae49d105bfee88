// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/qmp_session.h"

#include "base/utf8.h"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace tidemark::daemon {

namespace {

using nlohmann::json;

// A parser that builds a tree needs a multiple of a line of brackets, and so does whoever walks it.
bool nests_too_deep(const char *begin, const char *end) {
    int depth = 0;
    bool in_string = false;
    for (const char *c = begin; c != end; ++c) {
        if (in_string) {
            if (*c == '\\' && c + 1 != end)
                ++c;
            else if (*c == '"')
                in_string = false;
        } else if (*c == '"') {
            in_string = true;
        } else if (*c == '[' || *c == '{') {
            if (++depth > QmpSession::kDepthMost)
                return true;
        } else if (*c == ']' || *c == '}') {
            --depth;
        }
    }
    return false;
}

// QEMU's own sentence, which may be anything of any length.
Error error_of(const json &error) {
    std::string sentence = "QEMU refused it without saying why";
    if (error.is_object() && error.contains("desc") && error["desc"].is_string())
        sentence = cut(error["desc"].get_ref<const std::string &>(), 1024);
    return Error{EINVAL, sentence};
}

} // namespace

std::shared_ptr<QmpSession> QmpSession::start(Socket socket, Limits limits, Handlers handlers) {
    std::shared_ptr<QmpSession> session(
        new QmpSession(std::move(socket), limits, std::move(handlers)));
    session->begin();
    return session;
}

QmpSession::QmpSession(Socket socket, Limits limits, Handlers handlers)
    : socket_(std::move(socket)), timer_(socket_.get_executor()), limits_(limits),
      handlers_(std::move(handlers)) {}

void QmpSession::begin() {
    boost::system::error_code error;
    socket_.non_blocking(true, error);
    timer_.expires_after(limits_.greeting);
    timer_.async_wait([self = shared_from_this()](boost::system::error_code failed) {
        if (!failed && (self->state_ == State::greeting || self->state_ == State::capabilities))
            self->close(Error{ETIMEDOUT, "it said nothing, or not enough, for " +
                                             std::to_string(self->limits_.greeting.count()) +
                                             " ms after it connected"});
    });
    wait_for_input();
}

// Waits without a buffer, so that an idle session holds none.
void QmpSession::wait_for_input() {
    socket_.async_wait(
        Socket::wait_read, [self = shared_from_this()](boost::system::error_code failed) {
            if (self->state_ == State::closed)
                return;
            if (failed)
                self->close(Error{ENOTCONN, "the connection failed: " + failed.message()});
            else
                self->read_input();
        });
}

void QmpSession::read_input() {
    std::array<char, 65536> chunk; // NOLINT: not initialised on purpose, it is written before read
    boost::system::error_code failed;
    const std::size_t got = socket_.read_some(boost::asio::buffer(chunk), failed);
    if (failed == boost::asio::error::would_block || failed == boost::asio::error::try_again ||
        failed == boost::asio::error::interrupted) {
        wait_for_input();
        return;
    }
    if (failed || got == 0) {
        close(Error{ENOTCONN, "QEMU closed the connection"});
        return;
    }
    counters_.bytes_in += got;
    const std::size_t searched = input_.size();
    input_.append(chunk.data(), got);
    if (take_lines(searched))
        wait_for_input();
}

// False if the session is closed now. A line that waits for its end stays in input_.
bool QmpSession::take_lines(std::size_t searched) {
    std::string taken;
    taken.swap(input_);
    std::size_t begin = 0;
    for (;;) {
        const std::size_t end = taken.find('\n', std::max(begin, searched));
        const std::size_t length = (end == std::string::npos ? taken.size() : end) - begin;
        if (length > limits_.line_bytes) {
            malformed("sent a line of more than " + std::to_string(limits_.line_bytes) + " bytes");
            return false;
        }
        if (end == std::string::npos)
            break;
        take_line(taken.data() + begin, taken.data() + end);
        if (state_ == State::closed)
            return false;
        begin = end + 1;
    }
    if (begin < taken.size()) {
        taken.erase(0, begin);
        input_.swap(taken);
    }
    return true;
}

void QmpSession::take_line(const char *begin, const char *end) {
    if (std::all_of(begin, end, [](char c) { return c == ' ' || c == '\r' || c == '\t'; }))
        return;
    if (nests_too_deep(begin, end)) {
        malformed("sent JSON that nests more than " + std::to_string(kDepthMost) + " deep");
        return;
    }
    const json message = json::parse(begin, end, nullptr, false);
    if (!message.is_object()) {
        malformed("sent a line that is not a JSON object");
        return;
    }
    if (state_ == State::greeting) {
        take_greeting(message);
    } else if (const auto name = message.find("event"); name != message.end()) {
        if (!name->is_string()) {
            malformed("sent an event without a name");
            return;
        }
        const auto data = message.find("data");
        if (handlers_.event && state_ == State::ready)
            handlers_.event(name->get<std::string>(),
                            data == message.end() ? json::object() : *data);
    } else {
        take_answer(message);
    }
}

void QmpSession::take_greeting(const json &message) {
    const auto qmp = message.find("QMP");
    if (qmp == message.end() || !qmp->is_object()) {
        malformed("sent no QMP greeting first");
        return;
    }
    json arguments = json::object();
    if (const auto offered = qmp->find("capabilities");
        offered != qmp->end() && offered->is_array() &&
        std::find(offered->begin(), offered->end(), json("oob")) != offered->end()) {
        arguments["enable"] = {"oob"};
    }
    const bool with_oob = !arguments.empty();
    state_ = State::capabilities;
    // Its deadline is the greeting's, which runs already.
    const Result<void> sent = send(
        "qmp_capabilities", arguments, limits_.greeting * 2,
        [weak = weak_from_this(), with_oob](const Result<json> &answer) {
            if (const auto self = weak.lock(); self && self->state_ == State::capabilities)
                self->take_capabilities(answer, with_oob);
        },
        false);
    if (!sent)
        close(sent.error());
}

void QmpSession::take_capabilities(const Result<json> &answer, bool with_oob) {
    if (!answer) {
        close(Error{EPROTO, "QEMU refused qmp_capabilities: " + answer.error().sentence});
        return;
    }
    timer_.cancel();
    state_ = State::ready;
    out_of_band_ = with_oob;
    if (handlers_.ready)
        handlers_.ready();
}

void QmpSession::take_answer(const json &message) {
    const auto id = message.find("id");
    const auto returned = message.find("return");
    const auto error = message.find("error");
    if (id == message.end() || !id->is_number_unsigned() ||
        (returned == message.end()) == (error == message.end())) {
        malformed("sent a line that is neither an event nor the answer to a command");
        return;
    }
    const auto waiting = pending_.find(id->get<std::uint64_t>());
    if (waiting == pending_.end()) {
        malformed("answered a command that it was not sent");
        return;
    }
    const Reply reply = std::move(waiting->second.reply);
    pending_.erase(waiting);
    if (!reply)
        return; // too late, it has been reported as failed
    if (error != message.end()) {
        ++counters_.failures;
        reply(tl::unexpected<Error>(error_of(*error)));
    } else {
        reply(*returned);
    }
}

void QmpSession::malformed(const std::string &what) {
    ++counters_.malformed;
    close(Error{EPROTO, "QEMU " + what});
}

void QmpSession::execute(const std::string &command, const json &arguments, Duration deadline,
                         Reply reply, bool out_of_band) {
    Result<void> sent;
    if (state_ != State::ready)
        sent = fail(ENOTCONN, "its QEMU is not connected");
    else
        sent = send(command, arguments, deadline, reply, out_of_band && out_of_band_);
    if (!sent) {
        ++counters_.failures;
        post(std::move(reply), tl::unexpected<Error>(sent.error()));
    }
}

Result<void> QmpSession::send(const std::string &command, const json &arguments, Duration deadline,
                              Reply reply, bool out_of_band) {
    if (pending_.size() >= limits_.outstanding)
        return fail(EBUSY, std::to_string(pending_.size()) +
                               " commands wait for an answer of its QEMU already");
    json message = {{out_of_band ? "exec-oob" : "execute", command}, {"id", last_id_ + 1}};
    if (!arguments.empty())
        message["arguments"] = arguments;
    // What is not UTF-8 in it came from a file name or a request; QEMU would not take it either.
    const std::string line = message.dump(-1, ' ', true, json::error_handler_t::replace) + "\n";
    if (unsent_.size() + sending_.size() + line.size() > limits_.unsent_bytes)
        return fail(EBUSY, "its QEMU does not read what it is sent");
    ++last_id_;
    ++counters_.commands;
    pending_.emplace(last_id_, Pending{std::move(reply), Clock::now() + deadline});
    unsent_ += line;
    if (state_ == State::ready)
        arm_timer();
    write_some();
    return {};
}

void QmpSession::write_some() {
    if (!sending_.empty() || unsent_.empty() || state_ == State::closed)
        return;
    sending_.swap(unsent_);
    boost::asio::async_write(
        socket_, boost::asio::buffer(sending_),
        [self = shared_from_this()](boost::system::error_code failed, std::size_t) {
            if (self->state_ == State::closed)
                return;
            std::string().swap(self->sending_);
            if (failed)
                self->close(Error{ENOTCONN, "writing to QEMU failed: " + failed.message()});
            else
                self->write_some();
        });
}

// For the earliest deadline that can still be missed. One that rings too early does no harm.
void QmpSession::arm_timer() {
    auto earliest = Clock::time_point::max();
    for (const auto &[id, waiting] : pending_)
        if (waiting.reply)
            earliest = std::min(earliest, waiting.deadline);
    if (armed_until_ <= earliest)
        return;
    armed_until_ = earliest;
    timer_.expires_at(earliest);
    timer_.async_wait([weak = weak_from_this()](boost::system::error_code failed) {
        if (const auto self = weak.lock(); self && !failed && self->state_ == State::ready)
            self->expire();
    });
}

void QmpSession::expire() {
    armed_until_ = Clock::time_point::max();
    const auto now = Clock::now();
    std::vector<Reply> late;
    for (auto &[id, waiting] : pending_) {
        if (waiting.reply && waiting.deadline <= now)
            late.push_back(std::exchange(waiting.reply, nullptr));
    }
    for (Reply &reply : late) {
        ++counters_.timeouts;
        ++counters_.failures;
        post(std::move(reply), fail(ETIMEDOUT, "its QEMU did not answer in time"));
    }
    arm_timer();
}

void QmpSession::post(Reply reply, Result<json> answer) {
    boost::asio::post(socket_.get_executor(),
                      [reply = std::move(reply), answer = std::move(answer)]() mutable {
                          reply(std::move(answer));
                      });
}

void QmpSession::close(const Error &why) {
    if (state_ == State::closed)
        return;
    state_ = State::closed;
    boost::system::error_code ignored;
    timer_.cancel();
    socket_.close(ignored);
    for (auto &[id, waiting] : pending_)
        if (waiting.reply)
            post(std::move(waiting.reply), fail(ENOTCONN, "the connection to its QEMU ended"));
    pending_.clear();
    std::string().swap(input_);
    boost::asio::post(socket_.get_executor(),
                      [self = shared_from_this(), closed = std::move(handlers_.closed), why] {
                          self->handlers_ = {};
                          if (closed)
                              closed(why);
                      });
}

} // namespace tidemark::daemon
