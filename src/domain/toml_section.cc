// SPDX-License-Identifier: GPL-2.0-or-later
#include "domain/toml_section.h"

#include "domain/group_id.h"

#include <algorithm>
#include <sstream>

namespace tidemark::domain {

namespace {

std::string place(const std::string &source, const toml::source_region &at) {
    return source + " line " + std::to_string(at.begin.line) + ": ";
}

// The value as it would be written.
std::string written(const toml::node &node) {
    if (const auto *text = node.as_string())
        return in_quotes(text->get());
    if (node.is_table())
        return "a table";
    if (node.is_array())
        return "a list";
    std::ostringstream out;
    if (const auto *number = node.as_integer())
        out << number->get();
    else if (const auto *real = node.as_floating_point())
        out << real->get();
    else if (const auto *truth = node.as_boolean())
        out << (truth->get() ? "true" : "false");
    else
        out << "a date or time";
    return in_quotes(out.str());
}

} // namespace

TomlSection::TomlSection(const toml::table &table, std::string name, std::string source,
                         const std::vector<std::string> &known, Problems &problems)
    : table_(table), name_(std::move(name)), source_(std::move(source)), problems_(problems) {
    for (const auto &[key, node] : table_)
        if (std::find(known.begin(), known.end(), key.str()) == known.end())
            problem(key.source(),
                    name_ + " has no key " + in_quotes(key.str()) + "; it has " + listed(known));
}

void TomlSection::problem(const toml::source_region &at, const std::string &sentence) {
    problems_.push_back(place(source_, at) + sentence);
}

void TomlSection::wrong(std::string_view key, const std::string &complaint) {
    const toml::node *node = table_.get(key);
    problem(node == nullptr ? table_.source() : node->source(),
            name_ + " " + std::string(key) + " " + complaint);
}

void TomlSection::missing(std::string_view key, const std::string &example) {
    problem(table_.source(), name_ + " has no " + std::string(key) + "; it needs one, such as " +
                                 std::string(key) + " = " + example);
}

const std::string *TomlSection::string_of(std::string_view key, const std::string &wanted) {
    const toml::node *node = table_.get(key);
    if (node == nullptr)
        return nullptr;
    if (const auto *text = node->as_string())
        return &text->get();
    wrong(key, "is " + written(*node) + "; it must be " + wanted + ", in quotes");
    return nullptr;
}

void TomlSection::text(std::string_view key, std::string &into, bool may_be_empty) {
    const std::string *value = string_of(key, "a text");
    if (value == nullptr)
        return;
    if ((value->empty() && !may_be_empty) || value->find('\0') != std::string::npos)
        return wrong(key, "is " + in_quotes(*value) + "; it must not be empty");
    into = *value;
}

void TomlSection::absolute_path(std::string_view key, std::string &into) {
    const std::string *value = string_of(key, "an absolute path");
    if (value == nullptr)
        return;
    const bool plain = std::none_of(value->begin(), value->end(),
                                    [](char c) { return static_cast<unsigned char>(c) < 0x20; });
    if (!value->starts_with('/') || !plain || value->size() > 1024)
        return wrong(key, "is " + in_quotes(*value) +
                              "; it must be an absolute path of at most 1024 bytes");
    into = *value;
}

void TomlSection::name(std::string_view key, std::string &into) {
    const std::string *value = string_of(key, "a name");
    if (value == nullptr)
        return;
    if (!valid_name(*value))
        return wrong(key, "is " + in_quotes(*value) +
                              "; it must be letters, digits, '.', '_' and '-', the first a letter "
                              "or digit, at most 64");
    into = *value;
}

void TomlSection::boolean(std::string_view key, std::optional<bool> &into) {
    const toml::node *node = table_.get(key);
    if (node == nullptr)
        return;
    if (const auto *truth = node->as_boolean())
        into = truth->get();
    else
        wrong(key, "is " + written(*node) + "; it must be true or false, without quotes");
}

void TomlSection::count(std::string_view key, std::uint32_t least, std::uint32_t most,
                        std::optional<std::uint32_t> &into) {
    const toml::node *node = table_.get(key);
    if (node == nullptr)
        return;
    const auto *number = node->as_integer();
    if (number == nullptr || number->get() < least || number->get() > most)
        return wrong(key, "is " + written(*node) + "; it must be a whole number from " +
                              std::to_string(least) + " to " + std::to_string(most) +
                              ", without quotes");
    into = static_cast<std::uint32_t>(number->get());
}

// Bytes may stand as a number, too.
std::optional<std::string> TomlSection::bytes_text(std::string_view key,
                                                   const std::string &wanted) {
    const toml::node *node = table_.get(key);
    if (node == nullptr)
        return std::nullopt;
    if (const auto *number = node->as_integer())
        return std::to_string(number->get());
    if (const auto *string = node->as_string())
        return string->get();
    wrong(key, "is " + written(*node) + "; it must be " + wanted);
    return std::nullopt;
}

void TomlSection::amount(std::string_view key, std::optional<Amount> &into) {
    const auto text = bytes_text(key, "\"1%\" to \"100%\", or a size such as \"4GiB\"");
    if (!text)
        return;
    const auto parsed = parse_amount(*text);
    if (!parsed)
        return wrong(key, parsed.error().sentence);
    if (parsed->value == 0)
        return wrong(key, "is '0'; it must be more than 0");
    into = *parsed;
}

void TomlSection::size(std::string_view key, std::optional<std::uint64_t> &into) {
    const auto text = bytes_text(key, "a size such as \"512GiB\"");
    if (!text)
        return;
    const auto parsed = parse_size(*text);
    if (!parsed)
        return wrong(key, parsed.error().sentence);
    into = *parsed;
}

std::optional<std::size_t> TomlSection::word(std::string_view key,
                                             const std::vector<std::string> &words) {
    const std::string *value = string_of(key, listed(words, "or"));
    if (value == nullptr)
        return std::nullopt;
    const auto found = std::find(words.begin(), words.end(), *value);
    if (found != words.end())
        return static_cast<std::size_t>(found - words.begin());
    wrong(key, "is " + in_quotes(*value) + "; it must be " + listed(words, "or"));
    return std::nullopt;
}

const toml::table &toml_table(const toml::table &file, std::string_view key,
                              const std::string &source, Problems &problems) {
    static const toml::table empty;
    const toml::node *node = file.get(key);
    if (node == nullptr)
        return empty;
    if (const toml::table *table = node->as_table())
        return *table;
    problems.push_back(place(source, node->source()) + std::string(key) + " is " + written(*node) +
                       "; it must be a table, [" + std::string(key) + "]");
    return empty;
}

std::vector<const toml::table *> toml_tables(const toml::table &file, std::string_view key,
                                             std::size_t most, const std::string &source,
                                             Problems &problems) {
    std::vector<const toml::table *> tables;
    const toml::node *node = file.get(key);
    if (node == nullptr)
        return tables;
    const toml::array *list = node->as_array();
    const std::string wanted = "tables, each [[" + std::string(key) + "]]";
    if (list == nullptr) {
        problems.push_back(place(source, node->source()) + std::string(key) + " is " +
                           written(*node) + "; it must be a list of " + wanted);
        return tables;
    }
    if (list->size() > most) {
        problems.push_back(place(source, node->source()) + "there are " +
                           std::to_string(list->size()) + " of [[" + std::string(key) +
                           "]]; there can be at most " + std::to_string(most));
        return tables;
    }
    for (const toml::node &each : *list) {
        if (const toml::table *table = each.as_table())
            tables.push_back(table);
        else
            problems.push_back(place(source, each.source()) + std::string(key) + " has " +
                               written(each) + " in it; it must be a list of " + wanted);
    }
    return tables;
}

} // namespace tidemark::domain
