// SPDX-License-Identifier: GPL-2.0-or-later
//
// 2 MiB of the engine's own memory, as large and as aligned as a huge page: disks read into it, and then
// GuestMemory::move_in() makes its pages pages of the guest. Belongs to one thread at a time.
#pragma once

#include "base/result.h"
#include "base/units.h"

#include <cstddef>
#include <memory>

namespace tidemark {

inline constexpr std::uint32_t kFramePages = kRegionPages;

class Frame {
  public:
    // Address space only; fill() gives it memory.
    static Result<std::unique_ptr<Frame>> map();
    ~Frame();
    Frame(const Frame &) = delete;
    Frame &operator=(const Frame &) = delete;

    std::byte *data() { return data_; }
    // Makes every page present, as one huge page if the frame was empty and the kernel has one. Pages
    // that were not present are zero, the others keep their bytes. 0 or a positive errno.
    int fill();
    // Gives the memory back. 0 or a positive errno.
    int drop();

  private:
    explicit Frame(std::byte *data) : data_(data) {}
    std::byte *const data_;
};

} // namespace tidemark
