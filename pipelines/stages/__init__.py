"""The stages of a build as plain functions: a task in, files in the work area and a small account out.

A stage writes into a temporary folder that gets its final name last, and the name is derived from all that the
result depends on. So a folder that exists is complete, and a rerun does only what is missing.

work/
  read/<key>/      documents-00000.arrow …: documents as read, and account.json with what was set aside
  scored/<key>/    scores.arrow: what every rule says of each document of one shard; texts.arrow: edited texts
  passages/<key>/  the text half of a segment, until it has its vectors
"""
