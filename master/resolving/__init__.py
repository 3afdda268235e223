"""Looking up the names of upstream servers, done by the admin process, again and again."""
