// SPDX-License-Identifier: GPL-2.0-or-later
#include "domain/obstacles.h"

#include "domain/element_reader.h"

namespace tidemark::domain {

namespace {

class Search {
  public:
    // "line 7: <hugepages/> of <memoryBacking> ..., so this memory cannot be tiered: remove it"
    void in_the_way(const xml::Element &at, const std::string &what, const std::string &why) {
        found_.push_back(at_line(at) + what + ", but " + why +
                         ": remove that, or write mode='off' in <memory> of Tidemark");
    }

    void backing(const xml::Element &backing) {
        if (const auto pages = backing.child("hugepages"))
            in_the_way(*pages, "<memoryBacking> asks for <hugepages/>",
                       "tiered memory moves in pages of 4 KiB, and makes huge pages by itself");
        if (const auto locked = backing.child("locked"))
            in_the_way(*locked, "<memoryBacking> asks for <locked/>",
                       "tiered memory must be able to leave DRAM");
        if (const auto access = backing.child("access"); access && is(*access, "mode", "shared"))
            in_the_way(*access, "<access mode='shared'/> asks for shared memory", kShared);
        if (const auto allocation = backing.child("allocation");
            allocation && is(*allocation, "mode", "immediate"))
            in_the_way(*allocation, "<allocation mode='immediate'/> asks for all memory at start",
                       "tiered memory comes into being as the guest uses it");
        source(backing);
    }

    void cells(const xml::Element &domain) {
        const auto numa = domain.find("cpu/numa");
        if (!numa)
            return;
        for (const xml::Element &cell : numa->children())
            if (is(cell, "memAccess", "shared"))
                in_the_way(cell,
                           "NUMA cell " + cell.attribute("id").value_or("?") +
                               " has memAccess='shared'",
                           kShared);
    }

    void devices(const xml::Element &domain) {
        const auto devices = domain.child("devices");
        if (!devices)
            return;
        for (const xml::Element &device : devices->children()) {
            if (device.name() == "memory")
                memory_device(device);
            else if (device.name() == "hostdev" &&
                     (is(device, "type", "pci") || is(device, "type", "mdev")))
                in_the_way(device, "<hostdev> gives a host device to the guest", kDma);
            else if (device.name() == "interface" &&
                     (is(device, "type", "hostdev") || is(device, "type", "vdpa")))
                in_the_way(device,
                           "<interface type='" + *device.attribute("type") +
                               "'> gives a host device to the guest",
                           kDma);
        }
    }

    void sealed(const xml::Element &domain) {
        if (const auto security = domain.child("launchSecurity");
            security && !is(*security, "type", "s390-pv"))
            in_the_way(*security, "<launchSecurity> encrypts the guest's memory",
                       "tiered memory must be able to move it");
    }

    Problems found() && { return std::move(found_); }

  private:
    static constexpr const char *kShared = "tiered memory is private to QEMU";
    static constexpr const char *kDma = "a device that reads memory by itself needs all of it in "
                                        "DRAM";

    static bool is(const xml::Element &element, std::string_view attribute,
                   std::string_view value) {
        return element.attribute(attribute) == std::optional<std::string>(value);
    }

    void source(const xml::Element &backing) {
        const auto source = backing.child("source");
        if (source && is(*source, "type", "file"))
            in_the_way(*source, "<source type='file'/> puts memory into a file",
                       "tiered memory has files of its own");
        if (source && is(*source, "type", "memfd"))
            in_the_way(*source, "<source type='memfd'/> puts memory into a memfd",
                       "tiered memory is anonymous");
    }

    // DIMMs become tiered like the rest; other kinds have a file or pages of their own.
    void memory_device(const xml::Element &device) {
        const std::string model = device.attribute("model").value_or("");
        if (model != "dimm" && model != "virtio-mem")
            return in_the_way(device, "there is a memory device of model " + in_quotes(model),
                              "only dimm and virtio-mem can be tiered");
        if (is(device, "access", "shared"))
            in_the_way(device, "a memory device has access='shared'", kShared);
        if (const auto size = device.find("source/pagesize"); size && size->text() != "4")
            in_the_way(*size, "a memory device asks for pages of " + size->text() + " KiB",
                       "tiered memory moves in pages of 4 KiB");
    }

    Problems found_;
};

} // namespace

Problems find_obstacles(const xml::Element &domain) {
    Search search;
    if (const auto backing = domain.child("memoryBacking"))
        search.backing(*backing);
    search.cells(domain);
    search.devices(domain);
    search.sealed(domain);
    return std::move(search).found();
}

} // namespace tidemark::domain
