// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/qemu_conf.h"

#include <algorithm>
#include <cctype>

namespace tidemark::cli {
namespace {

// What libvirt allows by default since 10.1; setting the list replaces all of it.
const char *const kDefaultDevices[] = {"/dev/null",    "/dev/full", "/dev/zero", "/dev/random",
                                       "/dev/urandom", "/dev/ptmx", "/dev/kvm"};

bool is_space(char c) {
    return std::isspace(static_cast<unsigned char>(c)) != 0;
}

// Past the '=' of "key =" at the start of a line; npos: the key is not set.
std::size_t value_start(std::string_view text, std::string_view key) {
    std::size_t line = 0;
    std::size_t found = std::string_view::npos;
    while (line < text.size()) {
        std::size_t end = text.find('\n', line);
        end = end == std::string_view::npos ? text.size() : end;
        std::size_t at = line;
        while (at < end && is_space(text[at]))
            at++;
        if (text.substr(at, end - at).starts_with(key)) {
            at += key.size();
            while (at < end && is_space(text[at]))
                at++;
            // libvirt takes the last one of several.
            if (at < end && text[at] == '=')
                found = at + 1;
        }
        line = end + 1;
    }
    return found;
}

struct ListText {
    std::vector<std::string> items;
    std::size_t last_end = 0; // past the last item's closing quote, or past '[' if there is none
};

std::optional<ListText> read_list(std::string_view text, std::string_view key) {
    std::size_t at = value_start(text, key);
    if (at == std::string_view::npos)
        return std::nullopt;
    while (at < text.size() && is_space(text[at]))
        at++;
    if (at >= text.size() || text[at] != '[')
        return std::nullopt;
    ListText list;
    list.last_end = ++at;
    while (at < text.size() && text[at] != ']') {
        if (text[at] == '#') {
            at = std::min(text.find('\n', at), text.size());
        } else if (text[at] == '"' || text[at] == '\'') {
            const std::size_t end = text.find(text[at], at + 1);
            if (end == std::string_view::npos)
                return std::nullopt;
            list.items.emplace_back(text.substr(at + 1, end - at - 1));
            list.last_end = at = end + 1;
        } else {
            at++;
        }
    }
    return at < text.size() ? std::optional(list) : std::nullopt;
}

} // namespace

std::optional<std::vector<std::string>> qemu_conf_list(std::string_view text,
                                                       std::string_view key) {
    auto list = read_list(text, key);
    return list ? std::optional(std::move(list->items)) : std::nullopt;
}

std::optional<std::string> qemu_conf_value(std::string_view text, std::string_view key) {
    std::size_t at = value_start(text, key);
    if (at == std::string_view::npos)
        return std::nullopt;
    std::string_view rest = text.substr(at, text.find('\n', at) - at);
    while (!rest.empty() && is_space(rest.front()))
        rest.remove_prefix(1);
    if (!rest.empty() && (rest[0] == '"' || rest[0] == '\'')) {
        const std::size_t end = rest.find(rest[0], 1);
        return std::string(rest.substr(1, end == std::string_view::npos ? end : end - 1));
    }
    rest = rest.substr(0, rest.find('#'));
    while (!rest.empty() && is_space(rest.back()))
        rest.remove_suffix(1);
    return std::string(rest);
}

std::string qemu_conf_with_device(std::string_view text, std::string_view device) {
    constexpr std::string_view kKey = "cgroup_device_acl";
    const std::string quoted = "\"" + std::string(device) + "\"";
    std::string out(text);
    if (const auto list = read_list(text, kKey)) {
        if (std::find(list->items.begin(), list->items.end(), device) == list->items.end())
            out.insert(list->last_end, (list->items.empty() ? " " : ", ") + quoted);
        return out;
    }
    if (!out.empty() && out.back() != '\n')
        out += "\n";
    out += "\n# Added by tidemark doctor --fix: libvirt's default devices, and " +
           std::string(device) + ".\n" + std::string(kKey) + " = [\n";
    for (const char *known : kDefaultDevices)
        out.append("    \"").append(known).append("\",\n");
    return out + "    " + quoted + "\n]\n";
}

} // namespace tidemark::cli
