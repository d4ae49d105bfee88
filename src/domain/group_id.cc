// SPDX-License-Identifier: GPL-2.0-or-later
#include "domain/group_id.h"

#include "domain/domain.h"

#include <algorithm>
#include <array>
#include <uuid/uuid.h>

namespace tidemark::domain {

namespace {
// Version 5 of "urn:tidemark:domain:1" in RFC 9562's namespace for URLs. Never changes: groups are
// stored by the ids that follow from it.
constexpr std::array<unsigned char, 16> kTidemark{0x37, 0x43, 0x64, 0xa8, 0x65, 0x56, 0x59, 0x95,
                                                  0xb4, 0x05, 0xdc, 0x2e, 0x58, 0xcb, 0xc7, 0x71};

bool letter_or_digit(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

std::string in_namespace(std::string_view kind, std::string_view name) {
    const std::string text = std::string(kind) + ":" + std::string(name);
    uuid_t uuid;
    uuid_generate_sha1(uuid, kTidemark.data(), text.data(), text.size());
    std::array<char, 37> buffer{};
    uuid_unparse_lower(uuid, buffer.data());
    return buffer.data();
}
} // namespace

std::string group_id(std::string_view name) {
    return in_namespace("group", name);
}

std::string service_id(std::string_view service) {
    return in_namespace("service", service);
}

std::optional<std::string> normal_uuid(std::string_view text) {
    uuid_t uuid;
    // uuid_parse() stops at a null byte, and so would not see what comes behind it.
    if (text.size() != 36 || uuid_parse(std::string(text).c_str(), uuid) != 0)
        return std::nullopt;
    std::array<char, 37> buffer{};
    uuid_unparse_lower(uuid, buffer.data());
    return buffer.data();
}

bool valid_name(std::string_view name) {
    return !name.empty() && name.size() <= kNameMost && letter_or_digit(name.front()) &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return letter_or_digit(c) || c == '.' || c == '_' || c == '-';
           });
}

} // namespace tidemark::domain
