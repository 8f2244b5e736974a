"""The words of the core: events, actions, records, rules, the pace of restarts."""
