//! `report`: writes the files that the server sends into a new directory.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Component, Path},
    process::ExitCode,
};

use super::{Context, Failure};
use crate::{cli, rpc::admin as rpc};

pub(super) async fn write(context: &Context, options: &cli::Report) -> Result<ExitCode, Failure> {
    if options.from >= options.to {
        return Err(Failure::usage("--from must come before --to"));
    }
    let out = &options.out;
    let io = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| Failure::io(format!("{path}: {error}"))
    };
    if out.exists() && fs::read_dir(out).map_err(io(out))?.next().is_some() {
        return Err(Failure::usage(format!("{}: is not empty; name a new directory", out.display())));
    }
    let request = rpc::ReportRequest {
        from_unix_ms: options.from,
        to_unix_ms: options.to,
        tenant: options.tenant.clone().unwrap_or_default(),
    };
    let mut files = context.client().await?.calls().report(request).await?.into_inner();
    fs::create_dir_all(out).map_err(io(out))?;
    let (mut names, mut bytes) = (Vec::new(), 0);
    while let Some(file) = files.message().await? {
        let name = Path::new(&file.name);
        // The server is trusted with the content, not with the place.
        if !matches!(name.components().collect::<Vec<_>>().as_slice(), [Component::Normal(_)]) {
            return Err(Failure::io(format!("the server sent a file named `{}`", file.name)));
        }
        let path = out.join(name);
        let mut target = OpenOptions::new().create(true).append(true).open(&path).map_err(io(&path))?;
        target.write_all(&file.content).and_then(|()| target.sync_all()).map_err(io(&path))?;
        bytes += file.content.len();
        if names.last() != Some(&file.name) {
            names.push(file.name);
        }
    }
    println!("wrote {} ({} files, {} KiB)", out.display(), names.len(), bytes.div_ceil(1_024));
    println!("read    {}", out.join("report.html").display());
    println!("verify  affiant-audit verify {} --trust FILE", out.display());
    Ok(ExitCode::SUCCESS)
}
