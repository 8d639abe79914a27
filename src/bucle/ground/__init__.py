"""What every station stands on: records, stores, the ledger, governance."""
