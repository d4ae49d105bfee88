// SPDX-License-Identifier: GPL-2.0-or-later
//
// Result<T>: a value, or an errno with one sentence a person can act on.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace tidemark {

struct Error {
    int code = 0; // positive errno
    std::string sentence;
};

template <typename T> using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(int code, std::string sentence) {
    return tl::unexpected<Error>(Error{code, std::move(sentence)});
}

} // namespace tidemark
