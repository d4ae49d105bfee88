// SPDX-License-Identifier: GPL-2.0-or-later
//
// As much of libvirt's qemu.conf as doctor must understand: settings that are lists or words, and the
// one line it may have to add. Text in, text out.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark::cli {

// A list of strings, also over several lines; not there, or commented out: nothing.
std::optional<std::vector<std::string>> qemu_conf_list(std::string_view text, std::string_view key);
// A string or a number as written, without quotes.
std::optional<std::string> qemu_conf_value(std::string_view text, std::string_view key);

// The text with `device` in cgroup_device_acl. If no list is set, libvirt's default one with it is
// added at the end. Nothing else is changed, comments included.
std::string qemu_conf_with_device(std::string_view text, std::string_view device);

} // namespace tidemark::cli
