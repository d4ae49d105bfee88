// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/log.h"

#include <cstdlib>
#include <memory>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace tidemark::daemon {
namespace {

// sd-daemon(3): "<3>" is an error, "<7>" is for debugging.
class JournalPriority : public spdlog::custom_flag_formatter {
  public:
    void format(const spdlog::details::log_msg &message, const std::tm &,
                spdlog::memory_buf_t &out) override {
        const char *text = "<6>";
        switch (message.level) {
        case spdlog::level::critical:
            text = "<2>";
            break;
        case spdlog::level::err:
            text = "<3>";
            break;
        case spdlog::level::warn:
            text = "<4>";
            break;
        case spdlog::level::debug:
        case spdlog::level::trace:
            text = "<7>";
            break;
        default:
            break;
        }
        out.append(text, text + 3);
    }
    std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
        return std::make_unique<JournalPriority>();
    }
};

spdlog::level::level_enum level_of(domain::LogLevel level) {
    switch (level) {
    case domain::LogLevel::debug:
        return spdlog::level::debug;
    case domain::LogLevel::info:
        return spdlog::level::info;
    case domain::LogLevel::warn:
        return spdlog::level::warn;
    case domain::LogLevel::error:
        return spdlog::level::err;
    }
    return spdlog::level::info;
}

} // namespace

void set_up_log(domain::LogLevel level) {
    auto logger = std::make_shared<spdlog::logger>(
        "tidemarkd", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    if (std::getenv("JOURNAL_STREAM") != nullptr) {
        formatter->add_flag<JournalPriority>('*').set_pattern("%*%v");
    } else {
        formatter->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l: %v");
    }
    logger->set_formatter(std::move(formatter));
    logger->set_level(level_of(level));
    logger->flush_on(spdlog::level::trace);
    spdlog::set_default_logger(std::move(logger));
}

} // namespace tidemark::daemon
