// SPDX-License-Identifier: GPL-2.0-or-later
//
// The other end of a QMP connection, in the test's own io_context: answers as it is told, late, in pieces,
// wrongly, or not at all.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace tidemark::daemon::testing {

using nlohmann::json;
using Socket = boost::asio::local::stream_protocol::socket;

// Runs the loop until it is so; false after 60 s.
inline bool run_until(boost::asio::io_context &io, const std::function<bool()> &so) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!so()) {
        if (std::chrono::steady_clock::now() > end)
            return false;
        io.restart();
        io.run_one_for(std::chrono::milliseconds(20));
    }
    return true;
}

class FakeQemu : public std::enable_shared_from_this<FakeQemu> {
  public:
    // {"return": ...} or {"error": ...}; null: no answer.
    using Answer = std::function<json(const json &arguments)>;

    static std::shared_ptr<FakeQemu> on(Socket socket) {
        return std::shared_ptr<FakeQemu>(new FakeQemu(std::move(socket)));
    }
    static std::shared_ptr<FakeQemu> connect(boost::asio::io_context &io, const std::string &path) {
        Socket socket(io);
        socket.connect(boost::asio::local::stream_protocol::endpoint(path));
        return on(std::move(socket));
    }

    // Greets and answers what comes.
    void start(bool oob = true) {
        json greeting = {{"QMP",
                          {{"version", {{"qemu", {{"major", 10}, {"minor", 0}, {"micro", 13}}}}},
                           {"capabilities", json::array()}}}};
        if (oob)
            greeting["QMP"]["capabilities"].push_back("oob");
        send(greeting);
        read();
    }
    void read() {
        socket_.async_read_some(
            boost::asio::buffer(chunk_),
            [self = shared_from_this()](boost::system::error_code failed, std::size_t got) {
                if (failed) {
                    self->closed_ = true;
                    return;
                }
                self->input_.append(self->chunk_.data(), got);
                for (std::size_t end; (end = self->input_.find('\n')) != std::string::npos;) {
                    self->take(json::parse(self->input_.substr(0, end)));
                    self->input_.erase(0, end + 1);
                }
                self->read();
            });
    }
    void send(const json &message) { send_raw(message.dump() + "\r\n"); }
    void send_raw(const std::string &bytes) {
        boost::system::error_code ignored;
        socket_.non_blocking(false, ignored);
        boost::asio::write(socket_, boost::asio::buffer(bytes), ignored);
    }
    void event(const std::string &name, const json &data) {
        send({{"event", name},
              {"data", data},
              {"timestamp", {{"seconds", 1}, {"microseconds", 2}}}});
    }
    void close() {
        boost::system::error_code ignored;
        socket_.close(ignored);
    }

    void answer(const std::string &command, Answer answer) {
        answers_[command] = std::move(answer);
    }
    void answer(const std::string &command, const json &returned) {
        answers_[command] = [returned](const json &) { return json{{"return", returned}}; };
    }

    bool closed() const { return closed_; }
    const std::vector<json> &received() const { return received_; }
    std::vector<json> received(const std::string &command) const {
        std::vector<json> of;
        for (const json &message : received_)
            if (message.value("execute", message.value("exec-oob", "")) == command)
                of.push_back(message);
        return of;
    }
    static json error(const std::string &sentence) {
        return {{"error", {{"class", "GenericError"}, {"desc", sentence}}}};
    }

  private:
    explicit FakeQemu(Socket socket) : socket_(std::move(socket)) {
        answer("qmp_capabilities", json::object());
    }

    void take(const json &message) {
        received_.push_back(message);
        const std::string command = message.value("execute", message.value("exec-oob", ""));
        const auto found = answers_.find(command);
        json reply = found == answers_.end()
                         ? error("The command " + command + " has not been found")
                         : found->second(message.value("arguments", json::object()));
        if (reply.is_null())
            return;
        reply["id"] = message.at("id");
        send(reply);
    }

    Socket socket_;
    std::array<char, 4096> chunk_{};
    std::string input_;
    std::map<std::string, Answer> answers_;
    std::vector<json> received_;
    bool closed_ = false;
};

} // namespace tidemark::daemon::testing
