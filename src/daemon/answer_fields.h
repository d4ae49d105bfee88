// SPDX-License-Identifier: GPL-2.0-or-later
//
// The members of an object that QEMU answered, of which there may be some, of whatever type.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

namespace tidemark::daemon {

// Reads the members of one object. The first that has the wrong type is remembered.
class AnswerFields {
  public:
    static constexpr std::size_t kTextMost = 4096;
    static constexpr std::uint64_t kBackendMost = std::uint64_t{1} << 45; // of one, in bytes

    AnswerFields(const nlohmann::json &object, std::string &problem)
        : object_(object), problem_(problem) {
        if (!object_.is_object())
            wrong("an element", "is not an object");
    }

    void read(const char *name, std::uint64_t &to) {
        const nlohmann::json *value = member(name);
        if (value == nullptr)
            return;
        if (value->is_number_unsigned())
            to = value->get<std::uint64_t>();
        else
            wrong(name, "is not a whole number");
    }

    // An amount of memory. A sum over all guests must not overflow.
    void bytes(const char *name, std::uint64_t &to) {
        read(name, to);
        if (to > kBackendMost) {
            wrong(name, "is too large");
            to = 0;
        }
    }

    void read(const char *name, std::uint32_t &to) {
        std::uint64_t wide = to;
        read(name, wide);
        if (wide > std::numeric_limits<std::uint32_t>::max())
            wrong(name, "is too large");
        else
            to = static_cast<std::uint32_t>(wide);
    }

    void read(const char *name, double &to) {
        const nlohmann::json *value = member(name);
        if (value == nullptr)
            return;
        if (value->is_number() && std::isfinite(value->get<double>()))
            to = value->get<double>();
        else
            wrong(name, "is not a number");
    }

    void read(const char *name, bool &to) {
        const nlohmann::json *value = member(name);
        if (value == nullptr)
            return;
        if (value->is_boolean())
            to = value->get<bool>();
        else
            wrong(name, "is neither true nor false");
    }

    void read(const char *name, std::string &to) {
        const nlohmann::json *value = member(name);
        if (value == nullptr)
            return;
        if (value->is_string() && value->get_ref<const std::string &>().size() <= kTextMost)
            to = value->get_ref<const std::string &>();
        else
            wrong(name, "is not a text, or too long");
    }

    // Calls each(element) for a list of at most `most` elements.
    template <typename Each> void list(const char *name, std::size_t most, Each each) {
        const nlohmann::json *value = member(name);
        if (value == nullptr)
            return;
        if (!value->is_array() || value->size() > most) {
            wrong(name, "is not a list, or too long");
            return;
        }
        for (const nlohmann::json &element : *value)
            each(element);
    }

    const nlohmann::json *member(const char *name) const {
        if (!object_.is_object())
            return nullptr;
        const auto found = object_.find(name);
        return found == object_.end() ? nullptr : &*found;
    }

    AnswerFields inner(const char *name) const {
        static const nlohmann::json nothing = nlohmann::json::object();
        const nlohmann::json *value = member(name);
        return {value == nullptr ? nothing : *value, problem_};
    }

  private:
    void wrong(const char *name, const char *what) {
        if (problem_.empty())
            problem_ = std::string(name) + " " + what;
    }

    const nlohmann::json &object_;
    std::string &problem_;
};

} // namespace tidemark::daemon
