// SPDX-License-Identifier: GPL-2.0-or-later
#include "domain/size.h"

#include "domain/sentences.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <optional>

namespace tidemark::domain {

namespace {
struct Suffix {
    std::string_view text;
    unsigned shift;
};
constexpr std::array<Suffix, 10> kSuffixes{{{"", 0},
                                            {"B", 0},
                                            {"K", 10},
                                            {"KiB", 10},
                                            {"M", 20},
                                            {"MiB", 20},
                                            {"G", 30},
                                            {"GiB", 30},
                                            {"T", 40},
                                            {"TiB", 40}}};

constexpr const char *kSizeForms = "a size such as 4096, 512MiB or 4GiB";

// The number that `text` starts with; nothing if there is none, or one too large for 64 bits.
std::optional<std::uint64_t> leading_number(std::string_view text, std::string_view &rest) {
    std::uint64_t value = 0;
    const char *end = text.data() + text.size();
    const auto [after, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{})
        return std::nullopt;
    rest = std::string_view(after, static_cast<std::size_t>(end - after));
    return value;
}
} // namespace

std::uint64_t Amount::of(std::uint64_t whole) const {
    if (unit == Unit::bytes)
        return value;
    // In two parts, so that nothing overflows.
    return whole / 100 * value + whole % 100 * value / 100;
}

std::string Amount::text() const {
    if (unit == Unit::percent)
        return std::to_string(value) + "%";
    for (auto suffix = kSuffixes.rbegin(); suffix != kSuffixes.rend(); ++suffix) {
        const std::uint64_t one = std::uint64_t{1} << suffix->shift;
        if (suffix->shift != 0 && value != 0 && value % one == 0)
            return std::to_string(value / one) + std::string(suffix->text);
    }
    return std::to_string(value);
}

Result<std::uint64_t> parse_size(std::string_view text) {
    std::string_view rest;
    if (const auto number = leading_number(text, rest)) {
        for (const Suffix &suffix : kSuffixes) {
            if (rest != suffix.text)
                continue;
            if (*number > (kSizeMost >> suffix.shift))
                return fail(ERANGE, "is " + in_quotes(text) + "; it must be at most 1048576TiB");
            return *number << suffix.shift;
        }
    }
    return fail(EINVAL, "is " + in_quotes(text) + "; it must be " + kSizeForms);
}

Result<Amount> parse_amount(std::string_view text) {
    if (!text.ends_with('%')) {
        auto size = parse_size(text);
        if (size)
            return Amount::bytes(*size);
        if (size.error().code == ERANGE)
            return tl::unexpected(size.error());
        return fail(EINVAL, "is " + in_quotes(text) + "; it must be 1% to 100%, or " + kSizeForms);
    }
    std::string_view rest;
    const auto number = leading_number(text, rest);
    if (!number || rest != "%" || *number < 1 || *number > 100)
        return fail(EINVAL, "is " + in_quotes(text) + "; it must be 1% to 100%, or " + kSizeForms);
    return Amount::percent(*number);
}

std::string size_text(std::uint64_t bytes) {
    for (const auto &[unit, shift] :
         {Suffix{"TiB", 40}, Suffix{"GiB", 30}, Suffix{"MiB", 20}, Suffix{"KiB", 10}}) {
        const std::uint64_t one = std::uint64_t{1} << shift;
        if (bytes >= one && bytes % one == 0)
            return std::to_string(bytes >> shift) + " " + std::string(unit);
    }
    return std::to_string(bytes) + " bytes";
}

} // namespace tidemark::domain
