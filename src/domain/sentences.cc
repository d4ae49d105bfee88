// SPDX-License-Identifier: GPL-2.0-or-later
#include "domain/sentences.h"

#include "base/utf8.h"

namespace tidemark::domain {

std::string in_quotes(std::string_view text) {
    constexpr std::size_t kShown = 60;
    if (text.size() <= kShown)
        return "'" + std::string(text) + "'";
    return "'" + cut(text, kShown) + "...'";
}

std::string listed(const std::vector<std::string> &words, std::string_view last) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i > 0)
            text += i + 1 < words.size() ? ", " : " " + std::string(last) + " ";
        text += words[i];
    }
    return text;
}

} // namespace tidemark::domain
