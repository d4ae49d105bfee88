// SPDX-License-Identifier: GPL-2.0-or-later
//
// The ServiceQueue of a FakeMemory: its faults, and reads of whatever disks, in an order by seed.
#include "base/check.h"
#include "sys/fake_memory.h"
#include "sys/fake_random.h"

#include <atomic>
#include <chrono>
#include <vector>

namespace tidemark {
namespace {

class FakeService final : public ServiceQueue {
  public:
    FakeService(FakeMemory &memory, std::vector<std::unique_ptr<IoQueue>> queues,
                std::uint64_t seed)
        : memory_(memory), queues_(std::move(queues)), random_(seed) {}

    void submit(IoRequest *request) override {
        queues_.at(request->disk)->submit({&request, 1}, Start::with_wait);
    }
    Event wait(std::span<FaultMessage> messages) override {
        for (;;) {
            const bool stopped = stopped_.load();
            if (stopped && in_flight() == 0)
                return {};
            if (!stopped && !messages.empty() && next_random(random_) % 2 == 0)
                if (const std::size_t taken = memory_.take_faults(messages); taken != 0)
                    return {taken, nullptr};
            for (const auto &queue : queues_)
                if (IoRequest *request = queue->try_one(); request != nullptr)
                    return {0, request};
            memory_.wait_for_faults();
        }
    }
    void stop() override { stopped_.store(true); }

  private:
    std::size_t in_flight() const {
        std::size_t sum = 0;
        for (const auto &queue : queues_)
            sum += queue->in_flight();
        return sum;
    }

    FakeMemory &memory_;
    std::vector<std::unique_ptr<IoQueue>> queues_;
    std::uint64_t random_;
    std::atomic<bool> stopped_{false};
};

} // namespace

Result<std::unique_ptr<ServiceQueue>> FakeMemory::open_service(std::span<Disk *const> disks,
                                                               std::uint32_t depth) {
    std::vector<std::unique_ptr<IoQueue>> queues;
    for (Disk *disk : disks) {
        auto queue = disk->open_queue(depth);
        if (!queue)
            return tl::unexpected<Error>(queue.error());
        queues.push_back(std::move(*queue));
    }
    const MutexLock lock(mutex_);
    return std::make_unique<FakeService>(*this, std::move(queues), next_random(random_));
}

std::size_t FakeMemory::take_faults(std::span<FaultMessage> messages) {
    const MutexLock lock(mutex_);
    const std::size_t count = std::min(messages.size(), faults_.size());
    for (std::size_t i = 0; i < count; ++i) {
        messages[i] = faults_.front();
        faults_.pop_front();
    }
    return count;
}

void FakeMemory::wait_for_faults() {
    const MutexLock lock(mutex_);
    if (faults_.empty())
        changed_.wait_for(mutex_, std::chrono::milliseconds(1));
}

} // namespace tidemark
