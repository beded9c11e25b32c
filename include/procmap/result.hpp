// A value or an error, as std::expected has it.
//
//   const procmap::result<procmap::maps> opened = procmap::maps::open(pid);
//   if (!opened) std::cerr << opened.error() << '\n';
#pragma once

#include <procmap/version.hpp>

#include <unistd.h>

#include <cstddef>
#include <exception>
#include <string_view>
#include <type_traits>
#include <utility>

#include <procmap/error.hpp>

namespace procmap::inline PROCMAP_ABI {

template <class T>
class result;

namespace detail {

/// True for a T of which a failure holds what was obtained before it, and `*` returns that.
template <class T>
inline constexpr bool kept_on_failure = false;
/// True for a T that others borrow from, such as walks and records. `->` on a temporary result<T> is then deleted: they would outlive it.
template <class T>
inline constexpr bool lent = false;
template <class T>
concept self_contained = !lent<T>;

template <class T>
inline constexpr bool is_result = false;
template <class T>
inline constexpr bool is_result<result<T>> = true;

/// A string of at most `Capacity` - 1 bytes that appends what fits.
template <std::size_t Capacity>
struct sentence {
    char text[Capacity] = {};
    std::size_t size = 0;
    constexpr void operator()(std::string_view more) noexcept {
        for (const char c : more)
            if (size + 1 < Capacity) text[size++] = c;
    }
};

/// Reports that the value of a failure was read, and aborts.
[[noreturn, gnu::noinline, gnu::cold]] inline void value_of_failure(const procmap::error& failure) noexcept {
    sentence<512> text;
    text("procmap: the value of a failed result was read, which was not tested: ");
    print(text, failure);
    text("\n");
    (void)!::write(STDERR_FILENO, text.text, text.size);
    __builtin_abort();
}

}  // namespace detail

#if defined(__cpp_exceptions)
/// Thrown by value() of a failure.
class bad_result_access : public std::exception {
public:
    explicit bad_result_access(const procmap::error& failure) noexcept : error(failure) { print(what_, failure); }
    [[nodiscard]] const char* what() const noexcept override { return what_.text; }  ///< the error as print() writes it

    procmap::error error;  ///< the failure

private:
    detail::sentence<512> what_{};
};
#endif

/// A value or an error, shaped like std::expected and usable without exceptions. Reading the value of a failure by `*` or `->` is an error
/// of the program: unless NDEBUG is defined, it writes the error to standard error and aborts; with NDEBUG, a value-initialized T is read. Of a
/// snapshot's failure, `*` returns what was obtained before it. value() throws bad_result_access, or aborts without exceptions.
///
/// `*` and value() of a temporary return by value, which a range-for keeps, so that a loop over a captured snapshot is safe in C++20.
template <class T>
class [[nodiscard]] result {
public:
    using value_type = T;               ///< as in std::expected
    using error_type = procmap::error;  ///< as in std::expected

    constexpr result(T value) noexcept : value_(std::move(value)) {}               ///< a value
    constexpr result(const procmap::error& failure) noexcept : error_(failure) {}  ///< a failure
    /// A failure, with what was obtained before it, which `*` returns.
    constexpr result(T partial, const procmap::error& failure) noexcept
        requires detail::kept_on_failure<T>
        : value_(std::move(partial)), error_(failure) {}

    [[nodiscard]] constexpr bool has_value() const noexcept { return error_.code == errc::none; }  ///< true if there is a value
    [[nodiscard]] constexpr explicit operator bool() const noexcept { return has_value(); }        ///< the same

    /// Returns the value; see above for that of a failure.
    ///@{
    [[nodiscard, gnu::always_inline]] constexpr T& operator*() & noexcept PROCMAP_LIFETIMEBOUND { return expect(), value_; }
    [[nodiscard, gnu::always_inline]] constexpr const T& operator*() const& noexcept PROCMAP_LIFETIMEBOUND { return expect(), value_; }
    [[nodiscard, gnu::always_inline]] constexpr T operator*() && noexcept { return expect(), std::move(value_); }
    [[nodiscard, gnu::always_inline]] constexpr T* operator->() & noexcept PROCMAP_LIFETIMEBOUND { return expect(), &value_; }
    [[nodiscard, gnu::always_inline]] constexpr const T* operator->() const& noexcept PROCMAP_LIFETIMEBOUND { return expect(), &value_; }
    [[nodiscard, gnu::always_inline]] constexpr const T* operator->() const&& noexcept PROCMAP_LIFETIMEBOUND
        requires detail::self_contained<T>
    {
        return expect(), &value_;
    }
    const T* operator->() const&&
        requires detail::lent<T>
    = delete;  // what the value lends would outlive it: name the result first
    ///@}

    /// Returns the value. For a failure, throws bad_result_access, or aborts without exceptions.
    ///@{
    [[nodiscard]] constexpr T& value() & PROCMAP_LIFETIMEBOUND { return require(), value_; }
    [[nodiscard]] constexpr const T& value() const& PROCMAP_LIFETIMEBOUND { return require(), value_; }
    [[nodiscard]] constexpr T value() && { return require(), std::move(value_); }
    ///@}

    [[nodiscard]] constexpr const procmap::error& error() const noexcept PROCMAP_LIFETIMEBOUND { return error_; }  ///< errc::none if there is a value

    /// Returns the value, or for a failure `other`.
    ///@{
    template <class U>
    [[nodiscard]] constexpr T value_or(U&& other) const& {
        return has_value() ? value_ : static_cast<T>(std::forward<U>(other));
    }
    template <class U>
    [[nodiscard]] constexpr T value_or(U&& other) && {
        return has_value() ? std::move(value_) : static_cast<T>(std::forward<U>(other));
    }
    ///@}

    /// Calls `next` with the value and returns its result, or returns the failure.
    ///@{
    template <class F>
    constexpr auto and_then(F&& next) & { return chained(*this, std::forward<F>(next)); }
    template <class F>
    constexpr auto and_then(F&& next) const& { return chained(*this, std::forward<F>(next)); }
    template <class F>
    constexpr auto and_then(F&& next) && { return chained(std::move(*this), std::forward<F>(next)); }
    ///@}

    /// Calls `map` with the value and returns what it returns as a result, or returns the failure.
    ///@{
    template <class F>
    constexpr auto transform(F&& map) & { return transformed(*this, std::forward<F>(map)); }
    template <class F>
    constexpr auto transform(F&& map) const& { return transformed(*this, std::forward<F>(map)); }
    template <class F>
    constexpr auto transform(F&& map) && { return transformed(std::move(*this), std::forward<F>(map)); }
    ///@}

    /// Returns the value as a result, or calls `recover` with the error and returns its result.
    ///@{
    template <class F>
    constexpr result or_else(F&& recover) const& { return has_value() ? *this : std::forward<F>(recover)(error_); }
    template <class F>
    constexpr result or_else(F&& recover) && { return has_value() ? std::move(*this) : std::forward<F>(recover)(error_); }
    ///@}

private:
    [[gnu::always_inline]] constexpr void expect() const noexcept {
#ifndef NDEBUG
        if constexpr (!detail::kept_on_failure<T>)
            if (!has_value()) [[unlikely]] detail::value_of_failure(error_);
#endif
    }
    constexpr void require() const {
        if (has_value()) return;
#if defined(__cpp_exceptions)
        throw bad_result_access{error_};
#else
        __builtin_abort();
#endif
    }

    template <class Self, class F>
    static constexpr auto chained(Self&& self, F&& next) {
        using to = std::remove_cvref_t<std::invoke_result_t<F, decltype((std::forward<Self>(self).value_))>>;
        static_assert(detail::is_result<to>, "and_then() needs a function that returns a procmap::result");
        return self.has_value() ? std::forward<F>(next)(std::forward<Self>(self).value_) : to{self.error_};
    }
    template <class Self, class F>
    static constexpr auto transformed(Self&& self, F&& map) {
        using to = std::remove_cvref_t<std::invoke_result_t<F, decltype((std::forward<Self>(self).value_))>>;
        if (!self.has_value()) return result<to>{self.error_};
        if constexpr (std::is_void_v<to>) {
            std::forward<F>(map)(std::forward<Self>(self).value_);
            return result<to>{};
        } else {
            return result<to>{std::forward<F>(map)(std::forward<Self>(self).value_)};
        }
    }

    T value_{};
    procmap::error error_{};
};

/// Success, or an error.
template <>
class [[nodiscard]] result<void> {
public:
    using value_type = void;            ///< as in std::expected
    using error_type = procmap::error;  ///< as in std::expected

    constexpr result() noexcept = default;                                         ///< success
    constexpr result(const procmap::error& failure) noexcept : error_(failure) {}  ///< a failure

    [[nodiscard]] constexpr bool has_value() const noexcept { return error_.code == errc::none; }  ///< true on success
    [[nodiscard]] constexpr explicit operator bool() const noexcept { return has_value(); }        ///< the same
    [[nodiscard]] constexpr const procmap::error& error() const noexcept PROCMAP_LIFETIMEBOUND { return error_; }  ///< errc::none on success

    /// Calls `next` after success and returns its result, or returns the failure.
    template <class F>
    constexpr auto and_then(F&& next) const {
        using to = std::remove_cvref_t<std::invoke_result_t<F>>;
        static_assert(detail::is_result<to>, "and_then() needs a function that returns a procmap::result");
        return has_value() ? std::forward<F>(next)() : to{error_};
    }
    /// Returns success, or calls `recover` with the error and returns its result.
    template <class F>
    constexpr result or_else(F&& recover) const { return has_value() ? *this : std::forward<F>(recover)(error_); }

private:
    procmap::error error_{};
};

}  // namespace procmap::inline PROCMAP_ABI
