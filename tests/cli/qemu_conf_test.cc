// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/qemu_conf.h"

#include <catch2/catch_test_macros.hpp>

using namespace tidemark::cli;
using List = std::vector<std::string>;

TEST_CASE("a setting that is commented out is not set") {
    const char *text =
        "#user = \"root\"\n  # cgroup_device_acl = [ \"/dev/null\" ]\nuser_x = \"a\"\n";
    CHECK_FALSE(qemu_conf_value(text, "user"));
    CHECK_FALSE(qemu_conf_list(text, "cgroup_device_acl"));
}

TEST_CASE("values are read as libvirt reads them") {
    CHECK(qemu_conf_value("user = \"qemu\"  # who\n", "user") == "qemu");
    CHECK(qemu_conf_value("seccomp_sandbox=0\n", "seccomp_sandbox") == "0");
    CHECK(qemu_conf_value("user = 'a'\nuser = 'b'\n", "user") == "b");
    CHECK(qemu_conf_list("namespaces = [ ]\n", "namespaces") == List{});
    CHECK(qemu_conf_list("namespaces = [ \"mount\" ]", "namespaces") == List{"mount"});
}

TEST_CASE("a list may go over lines, with comments in it") {
    const char *text = "cgroup_device_acl = [\n  \"/dev/null\", # needed\n  # \"/dev/sda\",\n"
                       "  \"/dev/kvm\"\n]\nuser = \"x\"\n";
    CHECK(qemu_conf_list(text, "cgroup_device_acl") == List{"/dev/null", "/dev/kvm"});
    CHECK_FALSE(qemu_conf_list("cgroup_device_acl = [ \"/dev/null\"", "cgroup_device_acl"));
}

TEST_CASE("a device is added to the list that is there, and nothing else changes") {
    const std::string before =
        "# mine\ncgroup_device_acl = [\n    \"/dev/null\",\n    \"/dev/kvm\"\n]\n"
        "user = \"x\"\n";
    const std::string after = qemu_conf_with_device(before, "/dev/userfaultfd");
    CHECK(after == "# mine\ncgroup_device_acl = [\n    \"/dev/null\",\n    \"/dev/kvm\", "
                   "\"/dev/userfaultfd\"\n]\nuser = \"x\"\n");
    CHECK(qemu_conf_with_device(after, "/dev/userfaultfd") == after);
    CHECK(qemu_conf_list(qemu_conf_with_device("cgroup_device_acl = []", "/dev/a"),
                         "cgroup_device_acl") == List{"/dev/a"});
}

TEST_CASE("a trailing comma stays well formed") {
    const auto list =
        qemu_conf_list(qemu_conf_with_device("cgroup_device_acl = [ \"/dev/null\", ]\n", "/dev/a"),
                       "cgroup_device_acl");
    CHECK(list == List{"/dev/null", "/dev/a"});
}

TEST_CASE("without a list, libvirt's own is written out with the device") {
    const std::string after = qemu_conf_with_device("user = \"x\"", "/dev/userfaultfd");
    CHECK(after.starts_with("user = \"x\"\n"));
    const auto list = qemu_conf_list(after, "cgroup_device_acl");
    REQUIRE(list);
    CHECK(list->front() == "/dev/null");
    CHECK(list->back() == "/dev/userfaultfd");
    CHECK(qemu_conf_with_device(after, "/dev/userfaultfd") == after);
}
