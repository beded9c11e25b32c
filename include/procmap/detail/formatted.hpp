// What format.hpp and fmt.hpp share: the formattable types, and a formatter that writes the text of print() or to_string().
#pragma once

#include <procmap/version.hpp>

#include <procmap/build_id.hpp>
#include <procmap/difference.hpp>
#include <procmap/kind.hpp>
#include <procmap/location.hpp>
#include <procmap/options.hpp>
#include <procmap/owned_mapping.hpp>

namespace procmap::inline PROCMAP_ABI::detail {

template <class T, class... Types>
concept one_of = (std::is_same_v<T, Types> || ...);

template <class T>
concept formatted = one_of<T, error, errc, step, mapping, owned_mapping, permission_set, device_number, name_state, mapping_kind, build_id,
                           build_id_view, build_id_source, backend, reason, file_state, change, change_kind>;

/// A formatter on top of the string formatter of the formatting library. Allocates only if there is a format specification.
template <class T, class Strings>
struct text_formatter : Strings {
    template <class ParseContext>
    constexpr auto parse(ParseContext& context) {
        const auto begin = context.begin();
        const auto end = Strings::parse(context);
        plain_ = begin == end;
        return end;
    }

    template <class Context>
    auto format(const T& value, Context& context) const {
        if (plain_) {
            auto out = context.out();
            print([&out](std::string_view piece) {
                for (const char c : piece) *out++ = c;
            }, value);
            return out;
        }
        std::string text;
        print([&text](std::string_view piece) { text += piece; }, value);
        return Strings::format({text.data(), text.size()}, context);
    }

private:
    bool plain_ = true;
};

}  // namespace procmap::inline PROCMAP_ABI::detail
