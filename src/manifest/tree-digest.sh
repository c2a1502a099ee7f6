cd "$1" && find -L . -mindepth 1 -name '.*' -prune -o -type f ! -name '*~' ! -name '#*#' \
    ! -name Thumbs.db ! -name desktop.ini -print | cut -c3- | LC_ALL=C sort |
while IFS= read -r file; do
    printf '%s:%s %s:%s\n' "$(printf %s "$file" | wc -c)" "$file" \
        "$(wc -c < "$file")" "$(sha256sum < "$file" | cut -c-64)"
done | sha256sum | cut -c-64
