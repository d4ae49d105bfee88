// SPDX-License-Identifier: GPL-2.0-or-later
//
// Members of what a QEMU answered. It is a process of its own and may answer anything: what is not of the type
// that was expected is a failure with a sentence, never an exception.
#pragma once

#include "base/result.h"

#include <cerrno>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace tidemark::daemon {

// Null: there is none, or the answer is no object.
inline const nlohmann::json *member_in(const nlohmann::json &answer, const char *name) {
    if (!answer.is_object())
        return nullptr;
    const auto found = answer.find(name);
    return found == answer.end() ? nullptr : &*found;
}

inline Result<std::uint64_t> number_in(const nlohmann::json &answer, const char *name) {
    const nlohmann::json *found = member_in(answer, name);
    if (found == nullptr || !found->is_number_unsigned())
        return fail(EPROTO, std::string("QEMU answered without a number '") + name + "'");
    return found->get<std::uint64_t>();
}

inline Result<std::string> text_in(const nlohmann::json &answer, const char *name,
                                   std::size_t most = 255) {
    const nlohmann::json *found = member_in(answer, name);
    if (found == nullptr || !found->is_string() ||
        found->get_ref<const std::string &>().size() > most)
        return fail(EPROTO, std::string("QEMU answered without a text '") + name + "' of at most " +
                                std::to_string(most) + " bytes");
    return found->get<std::string>();
}

} // namespace tidemark::daemon
