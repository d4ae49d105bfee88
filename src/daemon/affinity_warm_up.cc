// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/affinity_warm_up.h"

#include "daemon/guest_files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <spdlog/spdlog.h>
#include <sstream>

namespace tidemark::daemon {
namespace {

// "<group> <pages> <value> <value> ...", in one line.
std::string as_text(const std::string &group, const ContentSketch &sketch) {
    std::ostringstream out;
    out << group << ' ' << sketch.pages;
    for (const std::uint64_t value : sketch.values) {
        out << ' ' << value;
    }
    return std::move(out).str();
}

} // namespace

double common_share(const ContentSketch &a, const ContentSketch &b) {
    const auto jaccard = resemblance(a, b);
    const double smaller = static_cast<double>(std::min(a.pages, b.pages));
    if (!jaccard || smaller <= 0) {
        return 0;
    }
    const double both =
        *jaccard / (1 + *jaccard) * (static_cast<double>(a.pages) + static_cast<double>(b.pages));
    return std::min(1.0, both / smaller);
}

WarmUps::WarmUps(std::string state_dir) : state_dir_(std::move(state_dir)) {
    std::error_code failed;
    for (std::filesystem::directory_iterator i(state_dir_ + "/recorded", failed), end;
         !failed && i != end; i.increment(failed)) {
        std::ifstream in(i->path() / "sketch");
        std::string group;
        std::uint64_t pages = 0, value = 0;
        std::vector<std::uint64_t> values;
        if (!(in >> group >> pages)) {
            continue;
        }
        while (values.size() < ContentSketch::kMost && in >> value) {
            values.push_back(value);
        }
        ContentSketch sketch = ContentSketch::of(std::move(values), pages);
        if (!sketch.values.empty()) {
            insert(i->path().filename().string(), {group, std::move(sketch), 0});
        }
    }
}

void WarmUps::insert(const std::string &uuid, Record record) {
    record.order = ++order_;
    records_[uuid] = std::move(record);
    if (records_.size() > kMost) {
        records_.erase(
            std::min_element(records_.begin(), records_.end(), [](const auto &a, const auto &b) {
                return a.second.order < b.second.order;
            }));
    }
}

void WarmUps::add(const std::string &uuid, const std::string &group, ContentSketch sketch) {
    if (group.empty() || sketch.values.empty()) {
        return;
    }
    const std::string file = state_dir_ + "/recorded/" + uuid + "/sketch";
    if (const auto written = write_note(file, as_text(group, sketch)); !written) {
        spdlog::warn("the sketch of guest {} is not kept: {}", uuid, written.error().sentence);
    }
    insert(uuid, {group, std::move(sketch), 0});
}

std::optional<WarmUps::Found> WarmUps::find(const std::string &group,
                                            const ContentSketch &sketch) const {
    std::optional<Found> best;
    for (const auto &[uuid, record] : records_) {
        if (group.empty() || record.group != group) {
            continue;
        }
        const double agreement = common_share(record.sketch, sketch);
        if (agreement >= kAgreement && (!best || agreement > best->agreement)) {
            best = Found{uuid, agreement};
        }
    }
    return best;
}

} // namespace tidemark::daemon
