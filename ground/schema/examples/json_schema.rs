//! Prints the JSON Schema of all documents, for `hcs.schema.json`.

fn main() {
    println!("{:#}", hcs_schema::json_schema());
}
