"""The study of matchers: pairs with truth, moved by known warps, and how near matchers come."""
