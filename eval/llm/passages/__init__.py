"""What is put before a question: found, given, gold, wrong or an oracle's; cleaned, laid out, and known to fit."""
