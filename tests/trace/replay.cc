// SPDX-License-Identifier: GPL-2.0-or-later
//
// trace_replay [--json] [--dram P,P...] [--refaults P] [--mips N] [--staged N] [--no-search] TRACE...
// trace_replay --pack RAW NAME TRACE     makes a trace of what the recording plugin wrote
#include "report.h"
#include "sys/whole_file.h"

#include <charconv>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

using namespace tidemark;
using namespace tidemark::trace;

namespace {

constexpr std::size_t kRawBytesMost = std::size_t{1} << 30;

int failed(const std::string &sentence) {
    std::fprintf(stderr, "trace_replay: %s\n", sentence.c_str());
    return 1;
}

int pack(const std::string &raw, const std::string &name, const std::string &path) {
    const auto bytes = read_whole_file(raw, kRawBytesMost);
    if (!bytes)
        return failed(bytes.error().sentence);
    const auto trace = decode_raw(*bytes, name);
    if (!trace)
        return failed("'" + raw + "': " + trace.error().sentence);
    const auto packed = encode(*trace);
    if (const auto written = write_whole_file(path, packed); !written)
        return failed(written.error().sentence);
    std::printf("%s: %zu accesses in %zu windows, %zu bytes\n", path.c_str(),
                trace->accesses.size(), trace->window_ends.size(), packed.size());
    return 0;
}

// "10,25,50": percentages from 1 to 100.
bool parse_shares(std::string_view text, std::vector<unsigned> &shares) {
    shares.clear();
    while (!text.empty()) {
        unsigned share = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), share);
        if (error != std::errc{} || share < 1 || share > 100)
            return false;
        shares.push_back(share);
        text.remove_prefix(static_cast<std::size_t>(end - text.data()));
        if (!text.empty() && text.front() != ',')
            return false;
        if (!text.empty())
            text.remove_prefix(1);
    }
    return !shares.empty();
}

bool parse_positive(std::string_view text, double &number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size() && number > 0;
}

bool parse_staged(std::string_view text, std::uint32_t &share) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), share);
    return error == std::errc{} && end == text.data() + text.size() && share >= 1 && share <= 255;
}

} // namespace

int main(int argc, char **argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() == 4 && words[0] == "--pack")
        return pack(words[1], words[2], words[3]);
    ReportOptions options;
    std::vector<std::string> paths;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const bool more = i + 1 < words.size();
        if (words[i] == "--json")
            options.json = true;
        else if (words[i] == "--no-search")
            options.search = false;
        else if (words[i] == "--dram" && more && parse_shares(words[i + 1], options.shares))
            ++i;
        else if (words[i] == "--refaults" && more && parse_positive(words[i + 1], options.refaults))
            ++i;
        else if (words[i] == "--mips" && more && parse_positive(words[i + 1], options.guest.mips))
            ++i;
        else if (words[i] == "--staged" && more &&
                 parse_staged(words[i + 1], options.guest.staged_share))
            ++i;
        else if (!words[i].starts_with("--"))
            paths.push_back(words[i]);
        else
            return failed(
                "'" + words[i] +
                "' is not understood; arguments are --json, --dram P,P... (percent of the "
                "footprint), --refaults P (percent), --mips N, --staged N (of 256), --no-search "
                "and traces, "
                "or --pack RAW NAME TRACE");
    }
    std::vector<PageTrace> traces;
    for (const std::string &path : paths) {
        const auto bytes = read_whole_file(path, kTraceBytesMost);
        if (!bytes)
            return failed(bytes.error().sentence);
        auto trace = decode(*bytes);
        if (!trace)
            return failed("'" + path + "': " + trace.error().sentence);
        traces.push_back(std::move(*trace));
    }
    report(traces, options);
    return 0;
}
