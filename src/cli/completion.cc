// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/completion.h"

#include <CLI/CLI.hpp>
#include <string>

namespace tidemark::cli {
namespace {

// What follows a word that takes an argument: "@groups", "@guests" (asked from the daemon), "@file", or
// the words themselves.
std::string what_fits(const CLI::Option &option) {
    std::string type = option.get_type_name();
    if (type.find('|') != std::string::npos) {
        for (char &c : type)
            c = c == '|' ? ' ' : c;
        return type;
    }
    if (type == "GUEST" || type == "NAME")
        return "@guests";
    if (type == "GROUP")
        return "@groups";
    return type == "FILE" || type == "PATH" ? "@file" : "";
}

bool is_visible(const CLI::App &app) {
    return !app.get_group().empty();
}

struct Lists {
    std::string words;   // path of a command -> what may follow: commands, options
    std::string values;  // path and option, or path and number of the argument -> what fits
    std::string globals; // options that fit everywhere
};

// One element of an associative array.
void add_entry(std::string &array, const std::string &key, const std::string &value) {
    array.append("    ['").append(key).append("']='").append(value).append("'\n");
}

void describe(const CLI::App &app, const std::string &path, Lists &lists) {
    std::string list;
    std::string options;
    for (const CLI::App *sub : app.get_subcommands([](const CLI::App *) { return true; })) {
        if (is_visible(*sub))
            list.append(sub->get_name()).append(" ");
    }
    std::size_t position = 0;
    for (const CLI::Option *option : app.get_options()) {
        const std::string fits = what_fits(*option);
        if (option->get_positional()) {
            add_entry(lists.values, path + " " + std::to_string(position++), fits);
            continue;
        }
        if (option->get_group().empty() ||
            (app.get_parent() != nullptr && option->check_lname("help")))
            continue; // --help stands among those that fit everywhere
        const std::string name = "--" + option->get_lnames().front();
        options.append(name).append(" ");
        if (option->get_items_expected_max() > 0)
            add_entry(lists.values, std::string(path).append(" ").append(name), fits);
    }
    if (app.get_parent() == nullptr)
        lists.globals = options;
    else
        list += options;
    add_entry(lists.words, path, list + lists.globals);
    for (const CLI::App *sub : app.get_subcommands([](const CLI::App *) { return true; })) {
        if (is_visible(*sub))
            describe(*sub, path + " " + sub->get_name(), lists);
    }
}

// Walks the words before the cursor down the commands, counting arguments, and offers what fits.
const char *const kFunction = R"bash(_tidemark() {
    local cur=${COMP_WORDS[COMP_CWORD]} path=tidemark arguments=0 fits word i wanted=
    local globals=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [ -n "$wanted" ]; then
            wanted=
        elif [[ $word == --* ]]; then
            if [ -n "${_tidemark_values[$path $word]+set}" ]; then
                wanted="$path $word"
            elif [ -n "${_tidemark_values[tidemark $word]+set}" ]; then
                wanted="tidemark $word"
            fi
            case $word in --socket | --config) globals+=("$word" "${COMP_WORDS[i + 1]:-}") ;; esac
        elif [ -n "${_tidemark_words[$path $word]+set}" ]; then
            path+=" $word"
        else
            arguments=$((arguments + 1))
        fi
    done
    if [ -z "$wanted" ] && [[ $cur != -* ]]; then
        wanted="$path $arguments"
    fi
    # An empty subscript is an error.
    fits=
    if [ -n "$wanted" ]; then fits=${_tidemark_values[$wanted]:-}; fi
    case $fits in
    @file) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    @*)
        mapfile -t COMPREPLY < <(compgen -W "$(tidemark "${globals[@]}" --timeout 1 \
            names "${fits#@}" 2>/dev/null)" -- "$cur")
        ;;
    '')
        case $wanted in *' --'*) return ;; esac
        mapfile -t COMPREPLY < <(compgen -W "${_tidemark_words[$path]}" -- "$cur")
        ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$fits" -- "$cur") ;;
    esac
}
complete -F _tidemark tidemark
)bash";

} // namespace

std::string bash_completion(const CLI::App &app) {
    Lists lists;
    describe(app, app.get_name(), lists);
    return "# SPDX-License-Identifier: GPL-2.0-or-later\n"
           "# Printed by `tidemark completion bash`.\n"
           "declare -gA _tidemark_words=(\n" +
           lists.words + ")\ndeclare -gA _tidemark_values=(\n" + lists.values + ")\n" + kFunction;
}

} // namespace tidemark::cli
