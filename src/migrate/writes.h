// SPDX-License-Identifier: GPL-2.0-or-later
//
// Learns from looks at the dirty log when each page of a guest is written. A look says which pages were written
// since the last one, no more; so a page that every look finds is known to be written at least so often, and
// now and then a look follows the last one closely, to tell how much more often.
//
// Not thread-safe: its owner has the lock.
#pragma once

#include "migrate/gap_census.h"
#include "migrate/page_writes.h"
#include "migrate/silent_samples.h"

#include <array>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace tidemark {

inline constexpr std::uint32_t kStripePages = 64; // of one word of a bitmap

// Zeroed memory that costs nothing until it is written.
template <typename T> class ZeroedArray {
  public:
    ZeroedArray() = default;
    explicit ZeroedArray(std::size_t count);
    std::span<T> all() { return {data_.get(), count_}; }
    std::span<const T> all() const { return {data_.get(), count_}; }
    T &operator[](std::size_t i) { return data_.get()[i]; }
    const T &operator[](std::size_t i) const { return data_.get()[i]; }
    std::size_t size() const { return count_; }
    std::size_t bytes() const { return count_ * sizeof(T); }

  private:
    struct Free {
        void operator()(T *data) const { std::free(data); }
    };
    std::unique_ptr<T, Free> data_;
    std::size_t count_ = 0;
};

template <typename T> ZeroedArray<T>::ZeroedArray(std::size_t count) : count_(count) {
    static_assert(std::is_trivially_copyable_v<T>);
    data_.reset(static_cast<T *>(std::calloc(count, sizeof(T))));
    if (data_ == nullptr && count != 0)
        throw std::bad_alloc();
}

class Writes {
  public:
    static constexpr std::size_t kBlocks = 64;

    explicit Writes(Nanos now);

    bool has(std::size_t block) const { return block < kBlocks && blocks_[block].has_value(); }
    void add_block(std::size_t block, std::uint64_t pages);
    void remove_block(std::size_t block);
    std::uint64_t pages(std::size_t block) const { return blocks_[block]->pages.size(); }
    std::uint64_t all_pages() const;
    // Rounded up to whole stripes; what is beyond the block was never written.
    std::span<const PageWrites> stripe(std::size_t block, std::uint64_t index) const;

    void baseline() { baseline_ = true; }
    void begin(Nanos now);
    void dirty(std::size_t block, std::uint64_t first, std::span<const unsigned long> words);
    Nanos end(Nanos now);
    // Pages of each 2 MiB of a block that the last look found written; nothing if it did not count.
    std::span<const std::uint16_t> found(std::size_t block) const;

    std::size_t sample(std::span<PageName> pages) { return samples_.choose(pages); }
    void hashed(PageName page, PageHash hash);
    // A page was compared with what it held before it was written.
    void compared(PageName page, bool same);

    // Where "now" is, as of the last look.
    Nanos looked() const { return looked_; }
    Stamp stamp(Nanos now) const { return stamp_of(now - start_); }
    Stamp newest() const { return stamp_; } // of pages that the last look found
    // How long looks have been made, in a row or with pauses.
    double learnt_seconds() const { return static_cast<double>(learnt_) * 1e-9; }
    double coverage_seconds() const { return static_cast<double>(coverage_) * 1e-9; }
    // The last look came much later than wanted.
    bool late() const { return late_; }
    // As coverage_seconds(), unless the last look was late: what earlier ones taught is finer than that.
    double usual_seconds() const {
        return static_cast<double>(std::min(coverage_, period_)) * 1e-9;
    }
    // What most pages that come again take to do so, in seconds.
    std::optional<double> sweep_seconds() const;
    double written_per_second() const { return written_per_second_; }
    // By the last look.
    double found_per_second() const {
        return coverage_ != 0 ? static_cast<double>(written_) / coverage_seconds() : 0;
    }
    Nanos period() const { return period_; }
    Nanos look_cost() const { return static_cast<Nanos>(cost_); }
    std::uint64_t looks() const { return looks_; }
    const SilentSamples &samples() const { return samples_; }
    std::size_t bytes() const;

  private:
    struct Block {
        explicit Block(std::uint64_t count);
        ZeroedArray<PageWrites> pages;
        std::vector<std::uint16_t> found;
        bool fresh = true; // no look has been told of it
        bool told = false; // in the look that is on
    };
    void note(PageWrites &page);
    void note_gap(PageWrites &page, std::uint32_t gap);
    void age(Nanos passed);
    void age_pages(std::span<PageWrites> pages, std::uint32_t older_than);

    std::array<std::optional<Block>, kBlocks> blocks_;
    SilentSamples samples_;
    GapCensus census_;
    const Nanos start_;
    Nanos looked_, began_ = 0;  // began_: the look that is on, or 0
    Nanos coverage_ = 0;        // from the last look to this one
    std::uint32_t covered_ = 0; // the same in ticks
    Nanos learnt_ = 0;
    bool baseline_ = true, counts_ = false;
    bool late_ = false;            // this look
    Stamp stamp_ = 0, before_ = 0; // of this look and of the last that counted
    std::uint64_t written_ = 0, looks_ = 0;
    double cost_; // ns of a look, smoothed
    double written_per_second_ = 0;
    Nanos period_;
    double age_owed_ = 0; // share of all pages
    std::size_t age_block_ = 0;
    std::uint64_t age_page_ = 0;
};

} // namespace tidemark
