// SPDX-License-Identifier: GPL-2.0-or-later
#include "domain/xml.h"

#include "domain/size.h"

#include <cerrno>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/tree.h>

namespace tidemark::domain::xml {

namespace {

std::string from(const xmlChar *text) {
    return text == nullptr ? std::string{} : std::string(reinterpret_cast<const char *>(text));
}

// Takes what libxml2 allocated.
std::string taken(xmlChar *text) {
    std::string copy = from(text);
    xmlFree(text);
    return copy;
}

bool space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

std::string collapsed(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (!space(c))
            out += c;
        else if (!out.empty() && out.back() != ' ')
            out += ' ';
    }
    if (!out.empty() && out.back() == ' ')
        out.pop_back();
    return out;
}

struct FreeContext {
    void operator()(xmlParserCtxt *context) const { xmlFreeParserCtxt(context); }
};

// A document type may define entities, which attributes expand: it ends the parsing.
void refuse_document_type(void *user, const xmlChar *, const xmlChar *, const xmlChar *) {
    auto *context = static_cast<xmlParserCtxt *>(user);
    *static_cast<bool *>(context->_private) = true;
    xmlStopParser(context);
}

std::string why(xmlParserCtxt *context) {
    const auto *error = xmlCtxtGetLastError(context);
    if (error == nullptr || error->message == nullptr)
        return "this is not XML";
    return "line " + std::to_string(error->line) +
           ": this is not well-formed XML: " + collapsed(error->message);
}

} // namespace

std::string Element::name() const {
    return from(node_->name);
}

std::string Element::ns() const {
    return node_->ns == nullptr ? std::string{} : from(node_->ns->href);
}

long Element::line() const {
    return xmlGetLineNo(node_);
}

std::vector<Attribute> Element::attributes() const {
    std::vector<Attribute> all;
    for (xmlAttr *each = node_->properties; each != nullptr; each = each->next)
        all.push_back({from(each->name), each->ns == nullptr ? "" : from(each->ns->href),
                       taken(xmlNodeListGetString(node_->doc, each->children, 1))});
    return all;
}

std::optional<std::string> Element::attribute(std::string_view name) const {
    for (const Attribute &each : attributes())
        if (each.ns.empty() && each.name == name)
            return each.value;
    return std::nullopt;
}

std::vector<Element> Element::children() const {
    std::vector<Element> all;
    for (xmlNode *each = node_->children; each != nullptr; each = each->next)
        if (each->type == XML_ELEMENT_NODE)
            all.emplace_back(each);
    return all;
}

std::optional<Element> Element::child(std::string_view name) const {
    for (const Element &each : children())
        if (each.ns().empty() && each.name() == name)
            return each;
    return std::nullopt;
}

std::optional<Element> Element::find(std::string_view path) const {
    std::optional<Element> at = *this;
    while (at && !path.empty()) {
        const std::size_t slash = path.find('/');
        at = at->child(path.substr(0, slash));
        path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
    }
    return at;
}

std::string Element::text() const {
    return collapsed(taken(xmlNodeGetContent(node_)));
}

std::string Element::own_text() const {
    std::string text;
    for (xmlNode *each = node_->children; each != nullptr; each = each->next)
        if (each->type == XML_TEXT_NODE || each->type == XML_CDATA_SECTION_NODE)
            text += from(each->content);
    return collapsed(text);
}

void Document::Free::operator()(_xmlDoc *document) const {
    xmlFreeDoc(document);
}

Result<Document> Document::parse(std::string_view text, std::size_t most) {
    if (text.size() > most)
        return fail(EFBIG, "the XML has " + std::to_string(text.size()) + " bytes; at most " +
                               size_text(most) + " are read");
    const std::unique_ptr<xmlParserCtxt, FreeContext> context(xmlNewParserCtxt());
    if (!context)
        return fail(ENOMEM, "no memory to parse the XML");
    bool document_type = false;
    context->_private = &document_type;
    context->sax->internalSubset = refuse_document_type;
    Document document(xmlCtxtReadMemory(
        context.get(), text.data(), static_cast<int>(text.size()), nullptr, nullptr,
        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_BIG_LINES));
    if (document_type)
        return fail(EINVAL, "the XML has a document type (<!DOCTYPE>); remove it");
    if (!document.document_ || xmlDocGetRootElement(document.document_.get()) == nullptr)
        return fail(EINVAL, why(context.get()));
    return document;
}

Element Document::root() const {
    return Element(xmlDocGetRootElement(document_.get()));
}

} // namespace tidemark::domain::xml
