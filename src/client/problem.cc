// SPDX-License-Identifier: GPL-2.0-or-later
#include "client/client.h"

#include <nlohmann/json.hpp>

namespace tidemark::client {

std::string escape(std::string_view text) {
    constexpr std::string_view kHex = "0123456789ABCDEF";
    std::string escaped;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                           (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            escaped += c;
        } else {
            escaped += '%';
            escaped += kHex[byte >> 4];
            escaped += kHex[byte & 15U];
        }
    }
    return escaped;
}

std::string problem_sentence(const Reply &reply) {
    const auto document = nlohmann::json::parse(reply.body, nullptr, false);
    if (document.is_object())
        for (const char *key : {"detail", "title"})
            if (const auto found = document.find(key);
                found != document.end() && found->is_string() &&
                !found->get_ref<const std::string &>().empty())
                return found->get<std::string>();
    return "tidemarkd answered with HTTP status " + std::to_string(reply.status);
}

} // namespace tidemark::client
