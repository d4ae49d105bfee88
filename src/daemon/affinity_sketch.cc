// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/affinity_sketch.h"

#include "daemon/qmp_answer.h"

#include <utility>
#include <vector>

namespace tidemark::daemon {
namespace {

using nlohmann::json;

// Nothing if it is not a list of as many numbers as a sketch has at most.
std::vector<std::uint64_t> numbers(const json &list) {
    std::vector<std::uint64_t> found;
    if (!list.is_array() || list.size() > ContentSketch::kMost) {
        return found;
    }
    for (const json &one : list) {
        if (!one.is_number_unsigned()) {
            return {};
        }
        found.push_back(one.get<std::uint64_t>());
    }
    return found;
}

} // namespace

ContentSketch sketch_in(const json &answer, const std::string &backend) {
    for (const json &one : answer) {
        if (text_in(one, "id").value_or("") == backend) {
            const auto pages = number_in(one, "pages");
            const json *list = member_in(one, "values");
            std::vector<std::uint64_t> values =
                list == nullptr ? std::vector<std::uint64_t>{} : numbers(*list);
            return pages && !values.empty() ? ContentSketch::of(std::move(values), *pages)
                                            : ContentSketch{};
        }
    }
    return {};
}

} // namespace tidemark::daemon
