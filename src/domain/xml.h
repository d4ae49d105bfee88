// SPDX-License-Identifier: GPL-2.0-or-later
//
// A read-only view of an XML text, so that only xml.cc sees libxml2. Nothing is fetched, no entity is
// expanded, a document type is refused.
#pragma once

#include "base/result.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct _xmlDoc;
struct _xmlNode;

namespace tidemark::domain::xml {

struct Attribute {
    std::string name; // local
    std::string ns;   // URI; empty: none
    std::string value;
};

// Points into its document, which must live longer.
class Element {
  public:
    explicit Element(_xmlNode *node) : node_(node) {}

    std::string name() const; // local
    std::string ns() const;   // URI; empty: none
    long line() const;
    std::vector<Attribute> attributes() const;
    std::optional<std::string> attribute(std::string_view name) const; // without a namespace
    std::vector<Element> children() const;                             // elements only
    // The first child of that name without a namespace.
    std::optional<Element> child(std::string_view name) const;
    // A walk of child() along 'a/b/c'.
    std::optional<Element> find(std::string_view path) const;
    std::string text() const;     // all of it, whitespace collapsed
    std::string own_text() const; // without that of children
  private:
    _xmlNode *node_;
};

class Document {
  public:
    static Result<Document> parse(std::string_view text, std::size_t most);
    Element root() const;

  private:
    struct Free {
        void operator()(_xmlDoc *document) const;
    };
    explicit Document(_xmlDoc *document) : document_(document) {}
    std::unique_ptr<_xmlDoc, Free> document_;
};

} // namespace tidemark::domain::xml
