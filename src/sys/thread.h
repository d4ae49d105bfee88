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
#include <utility>

namespace tidemark {

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
