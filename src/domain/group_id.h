// SPDX-License-Identifier: GPL-2.0-or-later
//
// UUIDs of groups. A group that is named in a domain has a UUID that follows from the name (version 5
// of RFC 9562 in a namespace of our own), so that daemon and hook need not ask each other.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tidemark::domain {

// Of "group:" + name, and of "service:" + name.
std::string group_id(std::string_view name);
std::string service_id(std::string_view service);

// In lower case, if it is a UUID with dashes.
std::optional<std::string> normal_uuid(std::string_view text);

// Letters, digits, '.', '_' and '-', the first a letter or digit, at most kNameMost bytes.
bool valid_name(std::string_view name);

} // namespace tidemark::domain
