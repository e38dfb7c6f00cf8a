"""The journal for whoever reads it elsewhere: files in a folder, incremental, exactly once.

columns.py    what a row has, and what it means
folder.py     parts and manifests: a part is there when its manifest is, and that is written last
store.py      the queries
rendering.py  rows as CSV or Parquet, as fast as the database copies them
service.py    export what was committed since the last part
"""
