// SPDX-License-Identifier: GPL-2.0-or-later
//
// One table of tidemark.toml while it is read. Every getter leaves `into` alone if the key is not there,
// and notes what is wrong if it is not what is asked for.
#pragma once

#include "domain/policy.h"
#include "domain/sentences.h"
#include "domain/size.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <toml++/toml.h>
#include <vector>

namespace tidemark::domain {

class TomlSection {
  public:
    // `name` as it stands in the file: "[daemon]". Keys that are not `known` are noted.
    TomlSection(const toml::table &table, std::string name, std::string source,
                const std::vector<std::string> &known, Problems &problems);

    bool has(std::string_view key) const { return table_.contains(key); }
    void text(std::string_view key, std::string &into, bool may_be_empty = false);
    void absolute_path(std::string_view key, std::string &into);
    void name(std::string_view key, std::string &into); // as valid_name() has it
    void boolean(std::string_view key, std::optional<bool> &into);
    void count(std::string_view key, std::uint32_t least, std::uint32_t most,
               std::optional<std::uint32_t> &into);
    void size(std::string_view key, std::optional<std::uint64_t> &into);
    void amount(std::string_view key, std::optional<Amount> &into);
    // The place of the value among `words`, if it is one of them.
    std::optional<std::size_t> word(std::string_view key, const std::vector<std::string> &words);

    void missing(std::string_view key, const std::string &example);
    // `complaint` reads on after the key: "is 'x'; it must be ...".
    void wrong(std::string_view key, const std::string &complaint);

  private:
    void problem(const toml::source_region &at, const std::string &sentence);
    const std::string *string_of(std::string_view key, const std::string &wanted);
    std::optional<std::string> bytes_text(std::string_view key, const std::string &wanted);

    const toml::table &table_;
    std::string name_, source_;
    Problems &problems_;
};

// The table below `key` of the file; an empty one if it is not there.
const toml::table &toml_table(const toml::table &file, std::string_view key,
                              const std::string &source, Problems &problems);
// The tables of [[key]].
std::vector<const toml::table *> toml_tables(const toml::table &file, std::string_view key,
                                             std::size_t most, const std::string &source,
                                             Problems &problems);

} // namespace tidemark::domain
