// SPDX-License-Identifier: GPL-2.0-or-later
//
// An engine thread: named, joined by its destructor, and with every signal blocked, because the
// process it lives in (QEMU) directs signals at threads of its own.
#pragma once

#include <functional>
#include <pthread.h>
#include <signal.h>
#include <string>
#include <thread>
#include <time.h>
#include <utility>

namespace tidemark {

// Of the calling thread.
inline double thread_cpu_seconds() {
    timespec spent{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return static_cast<double>(spent.tv_sec) + static_cast<double>(spent.tv_nsec) * 1e-9;
}

class Thread {
  public:
    Thread() = default;
    Thread(const std::string &name, std::function<void()> body) {
        sigset_t all, before;
        sigfillset(&all);
        // A SIGBUS or SIGSEGV that an engine thread raises itself must still end the process.
        for (const int fatal : {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGABRT})
            sigdelset(&all, fatal);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        thread_ = std::thread(std::move(body));
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        pthread_setname_np(thread_.native_handle(), name.substr(0, 15).c_str());
    }
    Thread(Thread &&) = default;
    Thread &operator=(Thread &&) = delete;
    ~Thread() {
        if (thread_.joinable())
            thread_.join();
    }

  private:
    std::thread thread_;
};

} // namespace tidemark
