// SPDX-License-Identifier: GPL-2.0-or-later
//
// Follows libvirt's domains, in a thread of its own: what changes is posted to the io_context. Without
// libvirt, or while it restarts, it tries again every few seconds, and the daemon works on.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace boost::asio {
class io_context;
}

namespace tidemark::daemon {

struct LibvirtDomainChange {
    enum class Kind { metadata, started, stopped, undefined, seen };
    Kind kind = Kind::seen; // seen: it was running when the connection came up
    std::string uuid;       // lower case
    std::string name;
    std::string title;
    bool active = false;
    // The content of urn:tidemark:domain:1 in the live domain, empty if it has none.
    std::string element;
    bool has_element = false;
};

class LibvirtEvents {
  public:
    using Changed = std::function<void(const LibvirtDomainChange &)>;

    // changed is called in the io_context's thread. An empty uri: never connects.
    LibvirtEvents(boost::asio::io_context &io, std::string uri, Changed changed);
    ~LibvirtEvents(); // joins the thread; within a second
    LibvirtEvents(const LibvirtEvents &) = delete;
    LibvirtEvents &operator=(const LibvirtEvents &) = delete;

    bool connected() const;

    using Ended = std::set<std::string>;
    // Which of these domains are not there, or do not run: while one is being prepared, it runs. The answer comes in the
    // io_context's thread; it is left out if there is no connection, or that ends.
    void ask_ended(std::vector<std::string> uuids, std::function<void(Ended)> answer);

  private:
    class Thread;
    std::shared_ptr<Thread> thread_;
};

} // namespace tidemark::daemon
