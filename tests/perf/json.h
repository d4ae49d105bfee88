// SPDX-License-Identifier: GPL-2.0-or-later
//
// Just enough to print one JSON object per line.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdio>
#include <string>

namespace tidemark::perf {

class JsonObject {
  public:
    void text(const std::string &key, const std::string &value) {
        std::string quoted = "\"";
        for (const char c : value) {
            if (c == '"' || c == '\\')
                quoted += '\\';
            quoted += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
        }
        raw(key, quoted + '"');
    }
    void number(const std::string &key, double value) {
        char digits[40];
        std::snprintf(digits, sizeof(digits), "%.9g", value);
        raw(key, std::isfinite(value) ? digits : "null");
    }
    void number(const std::string &key, std::integral auto value) {
        raw(key, std::to_string(value));
    }
    void boolean(const std::string &key, bool value) { raw(key, value ? "true" : "false"); }
    void object(const std::string &key, const JsonObject &value) { raw(key, value.str()); }

    std::string str() const { return "{" + body_ + "}"; }

  private:
    void raw(const std::string &key, const std::string &value) {
        body_ += (body_.empty() ? "\"" : ", \"") + key + "\": " + value;
    }
    std::string body_;
};

} // namespace tidemark::perf
