// SPDX-License-Identifier: GPL-2.0-or-later
//
// A mutex, its scope guard and a condition variable that clang's thread-safety analysis understands.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define TIDEMARK_TSA(x) __attribute__((x))
#else
#define TIDEMARK_TSA(x)
#endif
#define TIDEMARK_CAPABILITY TIDEMARK_TSA(capability("mutex"))
#define TIDEMARK_SCOPED TIDEMARK_TSA(scoped_lockable)
#define TIDEMARK_GUARDED_BY(m) TIDEMARK_TSA(guarded_by(m))
#define TIDEMARK_REQUIRES(...) TIDEMARK_TSA(requires_capability(__VA_ARGS__))
#define TIDEMARK_EXCLUDES(...) TIDEMARK_TSA(locks_excluded(__VA_ARGS__))
#define TIDEMARK_ACQUIRE(...) TIDEMARK_TSA(acquire_capability(__VA_ARGS__))
#define TIDEMARK_RELEASE(...) TIDEMARK_TSA(release_capability(__VA_ARGS__))

namespace tidemark {

class TIDEMARK_CAPABILITY Mutex {
  public:
    void lock() TIDEMARK_ACQUIRE() { mutex_.lock(); }
    void unlock() TIDEMARK_RELEASE() { mutex_.unlock(); }
    std::mutex &native() { return mutex_; }

  private:
    std::mutex mutex_;
};

class TIDEMARK_SCOPED MutexLock {
  public:
    explicit MutexLock(Mutex &mutex) TIDEMARK_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
    ~MutexLock() TIDEMARK_RELEASE() { mutex_.unlock(); }
    MutexLock(const MutexLock &) = delete;
    MutexLock &operator=(const MutexLock &) = delete;

  private:
    Mutex &mutex_;
};

// Waits with the mutex held by the caller; wakes may be spurious, so callers loop over a condition.
class CondVar {
  public:
    void wait(Mutex &mutex) TIDEMARK_REQUIRES(mutex) {
        std::unique_lock<std::mutex> lock(mutex.native(), std::adopt_lock);
        cond_.wait(lock);
        lock.release();
    }
    // False on timeout.
    bool wait_for(Mutex &mutex, std::chrono::milliseconds timeout) TIDEMARK_REQUIRES(mutex) {
        std::unique_lock<std::mutex> lock(mutex.native(), std::adopt_lock);
        const bool woken = cond_.wait_for(lock, timeout) == std::cv_status::no_timeout;
        lock.release();
        return woken;
    }
    void notify_one() { cond_.notify_one(); }
    void notify_all() { cond_.notify_all(); }

  private:
    std::condition_variable cond_;
};

} // namespace tidemark
